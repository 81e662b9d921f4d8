//! Which general registers hold pointers of the table.

use iced_x86::{Code as X86, Instruction, MemoryOperand, Register};

use super::encode::{Assembly, POINTERS, TABLE};

/// An instruction has up to three operands, which may all be loaded right before it, one of them by itself.
const OPERANDS: usize = 3;

/// The general registers that hold pointers.
pub(super) struct Pointers {
    /// The pointer in each register, and when it was used last.
    held: [Option<(usize, u32)>; POINTERS.len()],
    /// Those that stay.
    fixed: usize,
    clock: u32,
}

impl Pointers {
    pub(super) fn none() -> Self {
        Pointers {
            held: [None; POINTERS.len()],
            fixed: 0,
            clock: 0,
        }
    }

    /// Loads pointers that stay in their registers, as many as leave enough for the others.
    pub(super) fn fix(code: &mut Assembly, pointers: &[usize]) -> Self {
        let mut own = Pointers::none();
        let most = match pointers.len() <= POINTERS.len() {
            true => POINTERS.len(),
            false => POINTERS.len() - OPERANDS,
        };
        for (k, &p) in pointers.iter().take(most).enumerate() {
            own.load(code, k, p);
        }
        own.fixed = pointers.len().min(most);
        own
    }

    fn load(&mut self, code: &mut Assembly, k: usize, pointer: usize) {
        let from = MemoryOperand::with_base_displ(TABLE, 8 * pointer as i64);
        code.put(Instruction::with2(X86::Mov_r64_rm64, POINTERS[k], from));
        self.held[k] = Some((pointer, self.clock));
    }

    /// The register of a pointer.
    pub(super) fn get(&mut self, code: &mut Assembly, pointer: usize) -> Register {
        self.clock += 1;
        let held = |h: &Option<(usize, u32)>| h.is_some_and(|h| h.0 == pointer);
        let k = match self.held.iter().position(held) {
            Some(k) => k,
            None => {
                let others = self.fixed..POINTERS.len();
                let k = others.min_by_key(|&k| self.held[k].map_or(0, |h| h.1 + 1));
                let k = k.expect("some are never fixed");
                self.load(code, k, pointer);
                k
            }
        };
        self.held[k] = Some((pointer, self.clock));
        POINTERS[k]
    }

    /// Forgets what is not fixed: at the borders of a loop's body.
    pub(super) fn forget(&mut self) {
        self.held[self.fixed..].fill(None);
    }
}
