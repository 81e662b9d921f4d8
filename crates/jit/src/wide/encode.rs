//! Machine code under construction: instructions, branches, constants behind the code.
//!
//! Roles of the general registers, in every function: [`TABLE`] has the address of the pointers, [`ROWS`] the rows that
//! are left, [`FRAME`] the frame of the run, [`LANES`] and [`NUMBERS`] what [`Index`](super::block::Index) adds to an
//! address, `rbp` the stack pointer of the caller; [`POINTERS`] are free for pointers, and `rax` for anything. Between statements no vector
//! register has a meaning, so that a kernel may be called there.

use iced_x86::{Code as X86, Encoder, Instruction, MemoryOperand, Register};
use rustc_hash::FxHashMap as HashMap;

use super::called::Calls;
use super::set::{LINE, Set};
use retrograd_kernels::maths::Lane;

pub(super) const TABLE: Register = Register::RBX;
pub(super) const ROWS: Register = Register::R12;
pub(super) const FRAME: Register = Register::R13;
pub(super) const NUMBERS: Register = Register::R14;
pub(super) const LANES: Register = Register::R15;
pub(super) const POINTERS: [Register; 8] = [
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];
/// Registers that a function of the System V convention gives back as they were, if it uses them.
const SAVED: [Register; 5] = [TABLE, ROWS, FRAME, NUMBERS, LANES];

/// A position in the code, to be branched to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// A branch whose target is not known yet: where its distance lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead(usize);

/// An instruction's reference to a constant.
struct Reference {
    /// Where its distance lies, and where the instruction ends.
    distance: usize,
    end: usize,
    /// The constant's place among the constants.
    constant: usize,
}

/// The code of one function.
pub(super) struct Assembly {
    pub(super) set: Set,
    encoder: Encoder,
    at: usize,
    constants: Vec<u8>,
    known: HashMap<(Lane, u64), usize>,
    references: Vec<Reference>,
    patches: Vec<(usize, i32)>,
    /// Which of [`SAVED`] the code uses.
    used: [bool; SAVED.len()],
    /// Where distances of the next rows' table from the stack pointer lie in the code, and its lines.
    tables: Vec<usize>,
    lines: usize,
    /// Vectors on the stack, below the table.
    pub(super) spilled: usize,
    /// How many elements the mask of the remainder has, if that is known; on AVX-512.
    part: Option<usize>,
    /// Calls that keep all registers.
    pub(super) calls: Calls,
    /// The place of the table of masks among the constants; on AVX2.
    pub(super) masks: Option<usize>,
    /// The instructions so far.
    #[cfg(test)]
    pub(super) put: Vec<Instruction>,
}

impl Assembly {
    /// Begins a function of three integer arguments in the System V convention: a table of so many pointers, which is
    /// whole lines, rows, and the run's frame. How it saves registers is decided when it is [finished](Self::finish).
    pub(super) fn new(set: Set, pointers: usize) -> Self {
        Assembly {
            set,
            encoder: Encoder::new(64),
            at: 0,
            constants: Vec::new(),
            known: HashMap::default(),
            references: Vec::new(),
            patches: Vec::new(),
            used: [false; SAVED.len()],
            tables: Vec::new(),
            lines: pointers.div_ceil(8),
            spilled: 0,
            part: None,
            calls: Calls::default(),
            masks: None,
            #[cfg(test)]
            put: Vec::new(),
        }
    }

    /// Ends the function: its bytes, between what saves and what restores the registers that it uses, and the constants behind.
    pub(super) fn finish(mut self) -> Vec<u8> {
        use Register::{RBP, RDI, RDX, RSI, RSP};
        let two = |code, to, from| Instruction::with2(code, to, from);
        let one = |code, r| Instruction::with1(code, r);
        let used: Vec<Register> = (SAVED.into_iter().zip(self.used))
            .filter(|(_, used)| *used)
            .map(|(r, _)| r)
            .collect();
        let spilled = (self.set.vector() * self.spilled).next_multiple_of(LINE);
        let size = (spilled + LINE * self.lines) as i32;
        let mut begin = vec![one(X86::Push_r64, RBP), two(X86::Mov_r64_rm64, RBP, RSP)];
        begin.extend(used.iter().map(|&r| one(X86::Push_r64, r)));
        let given = [(TABLE, RDI), (ROWS, RSI), (FRAME, RDX)];
        let given = given.into_iter().filter(|(r, _)| used.contains(r));
        begin.extend(given.map(|(r, argument)| two(X86::Mov_r64_rm64, r, argument)));
        begin.push(Instruction::with2(X86::And_rm64_imm8, RSP, -64));
        begin.push(Instruction::with2(X86::Sub_rm64_imm32, RSP, size));

        let below = MemoryOperand::with_base_displ(RBP, -8 * used.len() as i64);
        self.put(Instruction::with2(X86::Lea_r64_m, RSP, below));
        for &r in used.iter().rev() {
            self.put(one(X86::Pop_r64, r));
        }
        self.put(one(X86::Pop_r64, RBP));
        // Vectors of the caller are of 128 bits: clean upper halves do not slow them down.
        self.put(Ok(Instruction::with(X86::VEX_Vzeroupper)));
        self.put(Ok(Instruction::with(X86::Retnq)));
        self.stubs();
        let mut body = self.encoder.take_buffer();
        for instruction in begin {
            self.put(instruction);
        }
        let mut code = self.encoder.take_buffer();

        // All positions are those in the body.
        let constants = (code.len() + body.len()).next_multiple_of(LINE) - code.len();
        let tables = self.tables.iter().map(|&at| (at, spilled as i32));
        let distances = self.references.iter().map(|r| {
            let far = (constants + r.constant) as i32 - r.end as i32;
            (r.distance, far)
        });
        let patches = self.patches.iter().copied();
        for (at, value) in patches.chain(tables).chain(distances) {
            body[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let end = code.len() + constants;
        code.append(&mut body);
        code.resize(end, 0xcc);
        code.extend_from_slice(&self.constants);
        code
    }

    /// Appends an instruction.
    pub(super) fn put(&mut self, instruction: Result<Instruction, iced_x86::IcedError>) {
        let instruction = instruction.expect("operands fit their instruction");
        #[cfg(test)]
        self.put.push(instruction);
        let operands = (0..instruction.op_count()).map(|k| instruction.op_register(k));
        let address = [instruction.memory_base(), instruction.memory_index()];
        // Of these registers, the code uses no parts.
        for r in operands.chain(address) {
            if let Some(k) = SAVED.iter().position(|&saved| saved == r) {
                self.used[k] = true;
            }
        }
        let n = self.encoder.encode(&instruction, self.at as u64);
        self.at += n.expect("an instruction for 64 bits");
    }

    /// Appends an instruction that refers to a constant, of which `memory` makes the operand.
    pub(super) fn put_with_constant(
        &mut self,
        constant: usize,
        make: impl FnOnce(MemoryOperand) -> Result<Instruction, iced_x86::IcedError>,
        broadcast: bool,
    ) {
        // The distance is put in when the length of the code is known.
        let operand = MemoryOperand::new(
            Register::RIP,
            Register::None,
            1,
            self.at as i64,
            8,
            broadcast,
            Register::None,
        );
        let begin = self.at;
        self.put(make(operand));
        let offsets = self.encoder.get_constant_offsets();
        self.references.push(Reference {
            distance: begin + offsets.displacement_offset(),
            end: self.at,
            constant,
        });
    }

    /// The place of a constant among the constants: of one element, or of a vector of them where an operand in memory is
    /// a whole one.
    pub(super) fn constant(&mut self, lane: Lane, bits: u64) -> usize {
        let bytes = lane.bytes() as usize;
        let bits = match lane {
            Lane::F32 => bits & u64::from(u32::MAX),
            Lane::F64 => bits,
        };
        if let Some(&known) = self.known.get(&(lane, bits)) {
            return known;
        }
        let times = match self.set.repeats() {
            true => 1,
            false => self.set.lanes(lane),
        };
        let at = self.constants.len().next_multiple_of(times * bytes);
        self.constants.resize(at, 0);
        let repeated = bits.to_le_bytes()[..bytes].repeat(times);
        self.constants.extend(repeated);
        self.known.insert((lane, bits), at);
        at
    }

    /// The place of words among the constants, which begin a line and are whole lines.
    pub(super) fn words(&mut self, words: &[i64]) -> usize {
        let at = self.constants.len().next_multiple_of(LINE);
        self.constants.resize(at, 0);
        let bytes = words.iter().flat_map(|w| w.to_le_bytes());
        self.constants.extend(bytes);
        let end = self.constants.len().next_multiple_of(LINE);
        self.constants.resize(end, 0);
        at
    }

    pub(super) fn here(&self) -> Label {
        Label(self.at)
    }

    /// Branches back if the signed condition `code` (a `jcc rel32`) holds.
    pub(super) fn branch_back(&mut self, code: X86, to: Label) {
        self.put(Instruction::with_branch(code, to.0 as u64));
    }

    /// Branches to a position that [`Assembly::arrive`] will tell.
    pub(super) fn branch_ahead(&mut self, code: X86) -> Ahead {
        // So far away that the distance takes four bytes.
        self.put(Instruction::with_branch(code, self.at as u64 + 0x1000));
        Ahead(self.at - 4)
    }

    /// The target of a branch.
    pub(super) fn arrive(&mut self, from: Ahead) {
        self.patches.push((from.0, (self.at - from.0 - 4) as i32));
    }

    /// r = value
    pub(super) fn set(&mut self, r: Register, value: i32) {
        if value == 0 {
            return self.put(Instruction::with2(X86::Xor_r64_rm64, r, r));
        }
        self.put(Instruction::with2(X86::Mov_rm64_imm32, r, value));
    }

    /// r += value
    pub(super) fn advance(&mut self, r: Register, value: i32) {
        self.put(Instruction::with2(X86::Add_rm64_imm32, r, value));
    }

    /// Sets the mask of the remainder, which AVX-512 has a register for, to the first `n` elements.
    pub(super) fn set_part(&mut self, n: usize) {
        if self.part == Some(n) || self.set != Set::Avx512 {
            return;
        }
        self.part = Some(n);
        let mask = (1u32 << n) - 1;
        self.put(Instruction::with2(X86::Mov_r32_imm32, Register::EAX, mask));
        let set = Instruction::with2(X86::VEX_Kmovw_kr_r32, Register::K1, Register::EAX);
        self.put(set);
    }

    /// Forgets it: where a branch arrives, and after a call that keeps no registers.
    pub(super) fn forget_part(&mut self) {
        self.part = None;
    }

    /// Branches back as long as a counter is below its end.
    pub(super) fn again(&mut self, counter: Register, end: i32, to: Label) {
        self.put(Instruction::with2(X86::Cmp_rm64_imm32, counter, end));
        self.branch_back(X86::Jl_rel32_64, to);
    }

    /// Calls the function whose address the frame has at `offset`.
    pub(super) fn call(&mut self, offset: i32) {
        let callee = MemoryOperand::with_base_displ(FRAME, i64::from(offset));
        self.put(Instruction::with1(X86::Call_rm64, callee));
        self.forget_part();
    }

    /// r = the table's pointer, `distance` bytes further.
    pub(super) fn pointer(&mut self, r: Register, pointer: usize, distance: i32) {
        let from = MemoryOperand::with_base_displ(TABLE, 8 * pointer as i64);
        self.put(Instruction::with2(X86::Mov_r64_rm64, r, from));
        if distance != 0 {
            self.advance(r, distance);
        }
    }

    /// The next rows' table: adds the strides to the pointers, a vector of them at a time. It lies where vectors of
    /// pointers are aligned, since stores that lie across two lines are slow to load from. The caller's table is read for
    /// the second rows first: its words have just been stored one by one, and a load of several waits until they have
    /// reached the cache (docs/PERFORMANCE.md).
    pub(super) fn next_row(&mut self, strides: &[i64]) {
        let (first, set) = (self.words(strides), self.set);
        let vector = set.register(0);
        let add = match set {
            Set::Avx512 => X86::EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64,
            Set::Avx2 => X86::VEX_Vpaddq_ymm_ymm_ymmm256,
        };
        // Its distance from the stack pointer is put in when the number of spilled vectors is known.
        let (next, stack) = (Register::RAX, Register::RSP);
        let own = MemoryOperand::new(stack, Register::None, 1, 0x1000, 8, false, Register::None);
        self.put(Instruction::with2(X86::Lea_r64_m, next, own));
        self.tables.push(self.at - 4);
        for at in (0..8 * strides.len()).step_by(set.vector()) {
            let from = MemoryOperand::with_base_displ(TABLE, at as i64);
            let to = MemoryOperand::with_base_displ(next, at as i64);
            self.load_constant(vector, first + at);
            self.put(Instruction::with3(add, vector, vector, from));
            self.store_whole(to, vector);
        }
        self.put(Instruction::with2(X86::Mov_r64_rm64, TABLE, next));
        self.forget_part();
    }
}
