//! A tape as the text of a cell file.

use std::fmt::Write;

use retrograd_tape::{Domain, InputRole, Node, Op, OutputRole, Reduction, Shape, Tape, Value};

/// The text of a cell file that computes what a tape does, op by op; none for a tape that it cannot write: one with a loss,
/// inputs that vary over anything but what their role says, or names that the language does not have.
///
/// ```
/// use retrograd_check::cell_text;
/// use retrograd_tape::{InputRole, Recorder, Shape};
///
/// let r = Recorder::new();
/// let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
/// let h = r.state("h", Shape::Vector(2), 1, None);
/// r.next(h, (h + x).tanh());
/// let text = cell_text(&r.finish("leaky")?).expect("it can be written");
/// assert_eq!(text, "cell reduced(x[2])\nstate h[2]\nv3 = add(h, x)\nv4 = tanh(v3)\nh' = v4\n");
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
pub fn cell_text(tape: &Tape) -> Option<String> {
    let names = Names::of(tape)?;
    let mut head = Vec::new();
    let mut lines = Vec::new();
    for input in tape.inputs() {
        let (name, shape) = (&input.name, shape(input.ty.shape));
        let own = match input.role {
            InputRole::Param => Domain::Once,
            InputRole::Static => Domain::Row,
            InputRole::Initial => continue,
            _ => Domain::Step,
        };
        if input.ty.domain != own {
            return None;
        }
        match input.role {
            InputRole::Sequence => head.push(format!("{name}{shape}")),
            InputRole::Static => head.push(format!("static {name}{shape}")),
            InputRole::Param => lines.push(format!("param {name}{shape}")),
            InputRole::Target => lines.push(format!("target {name}{shape}")),
            InputRole::Weight => lines.push(format!("weight_input {name}{shape}")),
            InputRole::Mask => lines.push(format!("mask {name}{shape} keep 0.5")),
            InputRole::Initial | InputRole::Cotangent | InputRole::Tangent => return None,
        }
    }
    for (i, node) in tape.nodes().iter().enumerate() {
        match (&names.states[i], &node.op) {
            (_, Op::Input { .. }) => {}
            (Some(state), Op::Delay(d)) => {
                let init = match names.given(tape, node.operands[1]) {
                    true => String::new(),
                    false => format!(" init {}", names.of_value(tape, node.operands[1])),
                };
                let delay = if *d == 1 {
                    String::new()
                } else {
                    format!(" delay {d}")
                };
                lines.push(format!(
                    "state {state}{}{delay}{init}",
                    shape(node.ty.shape)
                ));
            }
            _ if names.finals.contains(&i) => {}
            _ => lines.push(format!("v{i} = {}", expression(tape, node, &names)?)),
        }
    }
    for (i, node) in tape.nodes().iter().enumerate() {
        if let Some(state) = &names.states[i] {
            let next = names.of_value(tape, node.operands[0]);
            lines.push(format!("{state}' = {next}"));
        }
    }
    for o in tape.outputs() {
        if o.role == OutputRole::Output {
            lines.push(format!(
                "output {} = {}",
                o.name,
                names.of_value(tape, o.value)
            ));
        }
        if o.role == OutputRole::Loss {
            return None;
        }
    }
    let mut text = format!("cell reduced({})\n", head.join(", "));
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    Some(text)
}

/// What values are called.
struct Names {
    /// For each node that is a state, its name.
    states: Vec<Option<String>>,
    /// Final values, which need no line.
    finals: Vec<usize>,
}

impl Names {
    fn of(tape: &Tape) -> Option<Names> {
        let mut names = Names {
            states: vec![None; tape.nodes().len()],
            finals: Vec::new(),
        };
        let numbered = |name: &str| {
            let digits = name.strip_prefix('v');
            digits.is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()))
        };
        let written = |name: &str| {
            let letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
            let all = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            letter && all && !numbered(name)
        };
        let inputs = tape.inputs().iter().map(|i| &i.name);
        if !inputs
            .chain(tape.outputs().iter().map(|o| &o.name))
            .all(|n| written(n))
        {
            return None;
        }
        for o in tape
            .outputs()
            .iter()
            .filter(|o| o.role == OutputRole::Final)
        {
            let boundary = tape.node(o.value);
            names.finals.push(o.value.index());
            let delay = tape.nodes().iter().enumerate().position(|(i, n)| {
                matches!(n.op, Op::Delay(_))
                    && n.operands == boundary.operands
                    && names.states[i].is_none()
            })?;
            names.states[delay] = Some(o.name.to_string());
        }
        Some(names)
    }

    /// True for an input that a state begins with.
    fn given(&self, tape: &Tape, v: Value) -> bool {
        let mut inputs = tape.inputs().iter();
        inputs.any(|i| i.value == v && i.role == InputRole::Initial)
    }

    fn of_value(&self, tape: &Tape, v: Value) -> String {
        match (&self.states[v.index()], &tape.node(v).op) {
            (Some(state), _) => state.clone(),
            (None, Op::Input { id, .. }) => tape.inputs()[*id].name.to_string(),
            (None, _) => format!("v{}", v.index()),
        }
    }
}

fn shape(s: Shape) -> String {
    match s.axes().is_empty() {
        true => String::new(),
        false => format!("{:?}", s.axes()),
    }
}

fn domain(d: Domain) -> String {
    match d {
        Domain::Once => "once".into(),
        Domain::Row => "row".into(),
        Domain::Step => "step".into(),
        Domain::BoundarySlots(k) => format!("slots({k})"),
    }
}

fn expression(tape: &Tape, node: &Node, names: &Names) -> Option<String> {
    let xs: Vec<String> = (node.operands.iter())
        .map(|&v| names.of_value(tape, v))
        .collect();
    let all = xs.join(", ");
    // The language has no name for what is not finite.
    let number = |value: f64| match value {
        f64::INFINITY => "-ln(0.0)".to_owned(),
        f64::NEG_INFINITY => "ln(0.0)".to_owned(),
        _ => format!("{value:?}"),
    };
    let filled = |value: f64, s: Shape| match s {
        Shape::Scalar => number(value),
        _ => format!("broadcast({}, {})", number(value), shape(s)),
    };
    let kind = |kind: Reduction| match kind {
        Reduction::Sum => "sum",
        Reduction::Mean => "mean",
        Reduction::Max => "amax",
    };
    Some(match node.op {
        Op::Input { .. } => return None,
        Op::Constant { value, shape } => filled(value.0, shape),
        Op::Zeros(s) => filled(0.0, s),
        Op::Map(m) => match m.row().name {
            "with_gradient" => format!("with_gradient({}, of: {})", xs[0], xs[1]),
            name => format!("{name}({all})"),
        },
        Op::Reduce(k) => format!("{}({all})", kind(k)),
        Op::ReduceAxis { kind: k, axis } => format!("{}({all}, axis={axis})", kind(k)),
        Op::Dot => format!("dot({all})"),
        Op::Broadcast(Shape::Scalar) => format!("sum({all})"),
        Op::Broadcast(s) => format!("broadcast({all}, {})", shape(s)),
        Op::Concat { axis } => format!("concat({all}, axis={axis})"),
        Op::Slice { axis, start, len } => {
            format!("slice({all}, {start}..{}, axis={axis})", start + len)
        }
        // The one number of an array of one.
        Op::Reshape(Shape::Scalar) => format!("sum({all})"),
        Op::Reshape(s) => format!("reshape({all}, {})", shape(s)),
        Op::Transpose(order) => {
            let rank = tape.node(node.operands[0]).ty.shape.rank();
            let axes: Vec<usize> = (0..rank).map(|k| order.axis(k)).collect();
            format!("transpose({all}, {axes:?})")
        }
        Op::MatVec { transposed: false } => format!("matvec({all})"),
        Op::MatVec { transposed: true } => format!("matvec_t({all})"),
        Op::Gather => format!("gather({all})"),
        Op::Outer { to } => format!("outer({all}, to={})", domain(to)),
        Op::Scatter { rows, to } => format!("scatter({all}, rows={rows}, to={})", domain(to)),
        Op::Delay(d) => format!("delay({all}, d={d})"),
        Op::Boundary(d) => format!("boundary({all}, d={d})"),
        Op::Spread(to) => format!("spread({all}, to={})", domain(to)),
        Op::SumTo(to) => format!("sum_to({all}, to={})", domain(to)),
    })
}
