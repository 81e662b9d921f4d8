//! An actor and a critic learn to steer a point to a place that they are shown only at the beginning.
//!
//!     cargo run --release -p retrograd --example 09_policy_gradient
//!
//! The point is pushed left, not at all, or right; its place and, in the first two steps, its goal are seen. A step costs
//! the distance to the goal; an episode ends at the goal, or after sixteen steps. So the policy has to remember, and its
//! loss lies outside the cell: it needs the actions that were drawn from its outputs, and the returns that came of them.
//!
//! Every update is one of A2C (Mnih et al. 2016, *Asynchronous Methods for Deep Reinforcement Learning*, with one
//! worker): a stepper acts in some environments at a time; then a trainer runs the policy over all that was seen
//! (`forward`), the derivatives of the loss are computed here, and `backward` takes them through time. Episodes begin and
//! end anywhere in these steps: the stepper forgets one row (`reset_row`), the batch says where that was (`with_resets`), and
//! an episode that is not over goes on in the next update from the state where it was left.

use retrograd::random::{ChaCha8Rng, RngExt, stream};
use retrograd::{Adam, Batch, Cell, Cotangents, Error, Extent, Stepper, Trainer, zoo};

/// Environments at a time, the steps of an update, and the most of an episode.
const ROWS: usize = 32;
const STEPS: usize = 16;
const LONGEST: usize = 16;
/// What is seen: the point's place, the goal while it is shown, and whether it is.
const SEEN: usize = 3;
const ACTIONS: usize = 3;
/// How much a reward counts one step later, and what the critic's error and the policy's entropy count.
const DISCOUNT: f32 = 0.9;
const CRITIC: f32 = 0.5;
const ENTROPY: f32 = 0.003;

/// The point of one row.
struct Point {
    place: f32,
    goal: f32,
    step: usize,
}

impl Point {
    /// At a new place, with a new goal.
    fn begin(rng: &mut ChaCha8Rng) -> Point {
        let mut anywhere = || rng.random::<f32>() * 2.0 - 1.0;
        Point {
            place: anywhere(),
            goal: anywhere(),
            step: 0,
        }
    }

    fn seen(&self) -> [f32; SEEN] {
        match self.step < 2 {
            true => [self.place, self.goal, 1.0],
            false => [self.place, 0.0, 0.0],
        }
    }

    /// The reward of an action, and whether it ends the episode.
    fn act(&mut self, action: usize) -> (f32, bool) {
        self.place = (self.place + 0.25 * (action as f32 - 1.0)).clamp(-1.5, 1.5);
        self.step += 1;
        let distance = (self.place - self.goal).abs();
        (-distance, distance < 0.13 || self.step == LONGEST)
    }
}

/// What some steps of all rows were like, time-major.
struct Rollout {
    /// The policy's memory before the first step.
    memory: Vec<f32>,
    seen: Vec<f32>,
    /// Whether an episode begins with the step, and whether it ends with it.
    begins: Vec<bool>,
    ends: Vec<bool>,
    actions: Vec<usize>,
    rewards: Vec<f32>,
}

/// The policy and the critic, which share a memory.
fn cell() -> Result<Cell, Error> {
    Cell::define("actor_critic", |c| {
        let gru = zoo::find("gru").expect("it is in the zoo");
        let memory = gru.layer(c, "memory", c.input("seen", SEEN), 24);
        c.output("logits", c.dense("policy", ACTIONS, [memory]));
        c.output("value", c.dense("critic", 1, [memory]));
    })
}

/// The probabilities of the actions.
fn softmax(logits: &[f32]) -> [f32; ACTIONS] {
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let mut p: [f32; ACTIONS] = std::array::from_fn(|k| (logits[k] - most).exp());
    let sum: f32 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
    p
}

/// Lets every row act for some steps.
fn rollout(
    policy: &mut Stepper,
    points: &mut [Point],
    rng: &mut ChaCha8Rng,
) -> Result<Rollout, Error> {
    let mut all = Rollout {
        memory: policy.state("memory.h").unwrap_or_default().to_vec(),
        seen: Vec::new(),
        begins: Vec::new(),
        ends: Vec::new(),
        actions: Vec::new(),
        rewards: Vec::new(),
    };
    for _ in 0..STEPS {
        for (row, point) in points.iter().enumerate() {
            all.begins.push(point.step == 0);
            if point.step == 0 {
                policy.reset_row(row)?;
            }
        }
        let seen: Vec<f32> = points.iter().flat_map(Point::seen).collect();
        let logits = policy.step(&[&seen])?;
        for (point, logits) in points.iter_mut().zip(logits.chunks(ACTIONS)) {
            let mut left: f32 = rng.random();
            let chosen = softmax(logits).iter().position(|p| {
                left -= p;
                left < 0.0
            });
            let action = chosen.unwrap_or(ACTIONS - 1);
            let (reward, over) = point.act(action);
            all.actions.push(action);
            all.rewards.push(reward);
            all.ends.push(over);
            if over {
                *point = Point::begin(rng);
            }
        }
        all.seen.extend(seen);
    }
    Ok(all)
}

/// The derivatives of the loss with respect to the outputs: −log π(a) · advantage, half the critic's squared error, and
/// minus the policy's entropy.
fn cotangents(rollout: &Rollout, logits: &[f32], values: &[f32]) -> Cotangents {
    let points = rollout.actions.len();
    let mut returns = rollout.rewards.clone();
    for k in (0..points).rev().filter(|&k| !rollout.ends[k]) {
        // An episode that goes on is worth what the critic says of the last of these steps, which so teaches nothing itself.
        returns[k] = match returns.get(k + ROWS) {
            Some(later) => returns[k] + DISCOUNT * later,
            None => values[k],
        };
    }
    let mean = 1.0 / points as f32;
    let (mut of_logits, mut of_values) = (Vec::new(), Vec::new());
    for (k, logits) in logits.chunks(ACTIONS).enumerate() {
        let p = softmax(logits);
        let advantage = returns[k] - values[k];
        let entropy: f32 = p.iter().map(|p| -p * p.max(1e-30).ln()).sum();
        for (a, p) in p.iter().enumerate() {
            let chosen = f32::from(u8::from(a == rollout.actions[k]));
            let of_entropy = -p * (p.max(1e-30).ln() + entropy);
            of_logits.push(mean * ((p - chosen) * advantage - ENTROPY * of_entropy));
        }
        of_values.push(-mean * CRITIC * advantage);
    }
    Cotangents::new()
        .with("logits", of_logits)
        .with("value", of_values)
}

/// Trains for some updates, and returns the mean length of an episode in each.
fn train(updates: usize, seed: u64) -> Result<Vec<f32>, Error> {
    let mut rng = stream(seed, "example", "policy gradient");
    let trainer = Trainer::builder(cell()?, Adam::new(1e-2)).seed(seed);
    let mut trainer = trainer.clip(0.5).loss_outside().build()?;
    let mut policy = trainer.stepper().rows(ROWS).build()?;
    let mut points: Vec<Point> = (0..ROWS).map(|_| Point::begin(&mut rng)).collect();
    let mut lengths = Vec::new();
    for _ in 0..updates {
        let rollout = rollout(&mut policy, &mut points, &mut rng)?;
        let batch = Batch::new(Extent::steps(STEPS).rows(ROWS))
            .with("seen", rollout.seen.clone())
            .with("memory.h", rollout.memory.clone())
            .with_resets(&rollout.begins);
        let forward = trainer.forward(&batch)?;
        let [logits, values] = ["logits", "value"].map(|name| forward.output(name).unwrap_or(&[]));
        let cotangents = cotangents(&rollout, logits, values);
        trainer.apply([forward.backward(&cotangents)?])?;
        policy.set_parameters(trainer.parameters())?;
        let ends = rollout.ends.iter().filter(|&&over| over).count();
        lengths.push(rollout.ends.len() as f32 / ends.max(1) as f32);
    }
    Ok(lengths)
}

fn main() -> Result<(), Error> {
    for (update, length) in train(400, 1)?.iter().enumerate().step_by(40) {
        println!("update {update}: {length:.1} steps an episode");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::train;

    /// A goal is 0.67 away in the mean, which takes 2.7 steps, at least one. Chance takes longer, and so does what remembers nothing
    /// once the goal is not shown.
    #[test]
    fn it_learns_to_remember_where_to_go() {
        let lengths = train(300, 1).expect("it trains");
        let mean = |r: &[f32]| r.iter().sum::<f32>() / r.len() as f32;
        let (first, last) = (mean(&lengths[..10]), mean(&lengths[290..]));
        assert!(first > 8.0 && last < 4.0, "from {first} to {last}");
    }
}
