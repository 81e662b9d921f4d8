//! Recurrences whose delays point both ways in time, and which of them no order of the steps can compute.

/// A recurrence whose delays point both ways in time; `states` names them.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BothWays {
    /// Some walk around it takes 0 steps in total, so that a step needs itself.
    #[error(
        "the states {states} feed each other both forward and backward in time; no order of the steps can compute them"
    )]
    NoOrder {
        /// The delays.
        states: String,
    },
    /// Every walk around it leads to earlier steps, or every walk to later ones: with other delays it could be computed.
    #[error(
        "the states {states} feed each other both forward and backward in time, which is not supported: all delays of one recurrence must point one way; write it with other delays"
    )]
    Mixed {
        /// The delays.
        states: String,
    },
}

impl BothWays {
    /// The error for states of a recurrence that no order of the steps can compute, or that only other delays would allow.
    pub fn new(no_order: bool, states: String) -> BothWays {
        match no_order {
            true => BothWays::NoOrder { states },
            false => BothWays::Mixed { states },
        }
    }
}

/// True if, among strongly connected nodes, some walk back to its own start takes 0 steps in time: a value at a step
/// then needs itself. `edges` are (from, to, steps), with nodes numbered below `nodes`.
///
/// Otherwise all cycles run forward, or all run backward, and the recurrence could be computed.
pub fn cancels(nodes: usize, edges: &[(usize, usize, i64)]) -> bool {
    // A cycle of one sign and one of the other, each repeated often enough, form a walk of 0 steps.
    not_all_forward(nodes, edges, 1) && not_all_forward(nodes, edges, -1)
}

/// True if the steps of some cycle, times `sign`, sum to 0 or less. By Bellman-Ford: an edge of d steps weighs d (n +
/// 1) - 1, so a cycle, which has at most n edges, weighs less than 0 exactly if its steps sum to 0 or less.
fn not_all_forward(nodes: usize, edges: &[(usize, usize, i64)], sign: i64) -> bool {
    let scale = nodes as i64 + 1;
    let mut distance = vec![0i64; nodes];
    let relax = |distance: &mut [i64]| {
        let mut moved = false;
        for &(from, to, steps) in edges {
            let there = distance[from] + sign * steps * scale - 1;
            if there < distance[to] {
                distance[to] = there;
                moved = true;
            }
        }
        moved
    };
    (0..nodes).all(|_| relax(&mut distance)) && relax(&mut distance)
}

#[cfg(test)]
mod tests {
    use super::cancels;

    #[test]
    fn only_walks_of_no_steps_cannot_be_computed() {
        // Two nodes that read each other, one later and one earlier by so many steps.
        let pair = |a, b| cancels(2, &[(0, 1, a), (1, 0, b)]);
        assert!(pair(1, -1) && pair(-3, 3) && pair(0, 0));
        assert!(!pair(2, -1) && !pair(1, -2) && !pair(1, 1) && !pair(-1, -1));
        // A cycle forward and one backward at one node: each can be had, both cannot.
        assert!(cancels(1, &[(0, 0, 3), (0, 0, -2)]));
        assert!(!cancels(1, &[(0, 0, 3), (0, 0, 2)]));
        // 2 forward, then 1 and 1 backward; with 3 forward one remains.
        let ring = |a| cancels(3, &[(0, 1, a), (1, 2, -1), (2, 0, -1)]);
        assert!(ring(2) && !ring(3));
    }
}
