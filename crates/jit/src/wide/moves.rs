//! Vectors from register to register, from memory and to memory; remainders by an instruction of their size, or with masks.

use iced_x86::{Code as X86, Instruction, MemoryOperand, Register};

use super::block::Extent;
use super::encode::Assembly;
use super::instructions::{Made, Operand, half, halved, low};
use super::set::{LINE, Set};
use retrograd_kernels::maths::Lane;

/// One of two instructions, for `f32` and for `f64`.
macro_rules! by_lane {
    ($lane:expr, $single:ident, $double:ident) => {
        match $lane {
            Lane::F32 => X86::$single,
            Lane::F64 => X86::$double,
        }
    };
}

impl Set {
    /// A whole vector.
    fn whole(self, to: Register, from: Operand) -> Made {
        let code = match (self, from) {
            (Set::Avx512, Operand::Register(_)) => X86::EVEX_Vmovaps_zmm_k1z_zmmm512,
            (Set::Avx512, Operand::Memory(_)) => X86::EVEX_Vmovups_zmm_k1z_zmmm512,
            (Set::Avx2, Operand::Register(_)) => X86::VEX_Vmovaps_ymm_ymmm256,
            (Set::Avx2, Operand::Memory(_)) => X86::VEX_Vmovups_ymm_ymmm256,
        };
        from.with(code, &[to])
    }

    /// One number of memory in all elements.
    fn splat(self, lane: Lane, to: Register, from: MemoryOperand) -> Made {
        let code = match self {
            Set::Avx512 => by_lane!(
                lane,
                EVEX_Vbroadcastss_zmm_k1z_xmmm32,
                EVEX_Vbroadcastsd_zmm_k1z_xmmm64
            ),
            Set::Avx2 => by_lane!(lane, VEX_Vbroadcastss_ymm_m32, VEX_Vbroadcastsd_ymm_m64),
        };
        Instruction::with2(code, to, from)
    }

    /// Bytes that are stored as they are, if [`Set::without_mask`] says so.
    fn store_bytes(self, bytes: usize, to: MemoryOperand, from: Register) -> Made {
        let (code, from) = match (self, bytes) {
            (Set::Avx512, 4) => (X86::EVEX_Vmovss_m32_k1_xmm, low(from)),
            (Set::Avx512, 8) => (X86::EVEX_Vmovsd_m64_k1_xmm, low(from)),
            (Set::Avx512, 16) => (X86::EVEX_Vmovups_xmmm128_k1z_xmm, low(from)),
            (Set::Avx512, 32) => (X86::EVEX_Vmovups_ymmm256_k1z_ymm, half(from)),
            (Set::Avx2, 4) => (X86::VEX_Vmovss_m32_xmm, low(from)),
            (Set::Avx2, 8) => (X86::VEX_Vmovsd_m64_xmm, low(from)),
            (Set::Avx2, 16) => (X86::VEX_Vmovups_xmmm128_xmm, low(from)),
            _ => unreachable!("`Set::without_mask` says which there are"),
        };
        Instruction::with2(code, to, from)
    }

    /// Bytes that are loaded so; the others are zeros.
    fn load_bytes(self, bytes: usize, to: Register, from: MemoryOperand) -> Made {
        let (code, to) = match (self, bytes) {
            (Set::Avx512, 4) => (X86::EVEX_Vmovss_xmm_k1z_m32, low(to)),
            (Set::Avx512, 8) => (X86::EVEX_Vmovsd_xmm_k1z_m64, low(to)),
            (Set::Avx512, 16) => (X86::EVEX_Vmovups_xmm_k1z_xmmm128, low(to)),
            (Set::Avx512, 32) => (X86::EVEX_Vmovups_ymm_k1z_ymmm256, half(to)),
            (Set::Avx2, 4) => (X86::VEX_Vmovss_xmm_m32, low(to)),
            (Set::Avx2, 8) => (X86::VEX_Vmovsd_xmm_m64, low(to)),
            (Set::Avx2, 16) => (X86::VEX_Vmovups_xmm_xmmm128, low(to)),
            _ => unreachable!("`Set::without_mask` says which there are"),
        };
        Instruction::with2(code, to, from)
    }
}

impl Assembly {
    /// to = from
    pub(super) fn copy(&mut self, to: Register, from: Register) {
        self.put(self.set.whole(to, Operand::Register(from)));
    }

    /// A whole vector of memory.
    pub(super) fn load_whole(&mut self, to: Register, from: MemoryOperand) {
        self.put(self.set.whole(to, Operand::Memory(from)));
    }

    pub(super) fn store_whole(&mut self, to: MemoryOperand, from: Register) {
        let code = match self.set {
            Set::Avx512 => X86::EVEX_Vmovups_zmmm512_k1z_zmm,
            Set::Avx2 => X86::VEX_Vmovups_ymmm256_ymm,
        };
        self.put(Instruction::with2(code, to, from));
    }

    /// One number of memory in all elements.
    pub(super) fn splat(&mut self, lane: Lane, to: Register, from: MemoryOperand) {
        self.put(self.set.splat(lane, to, from));
    }

    /// The same bits in all elements.
    pub(super) fn splat_bits(&mut self, lane: Lane, to: Register, bits: u64) {
        let set = self.set;
        if bits == 0 {
            return self.put(match set {
                Set::Avx512 => {
                    Instruction::with3(X86::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, to, to, to)
                }
                Set::Avx2 => Instruction::with3(X86::VEX_Vxorps_ymm_ymm_ymmm256, to, to, to),
            });
        }
        let constant = self.constant(lane, bits);
        match set {
            Set::Avx512 => self.put_with_constant(constant, |m| set.splat(lane, to, m), false),
            Set::Avx2 => self.load_constant(to, constant),
        }
    }

    /// As much of a vector as `extent` says; other elements are zeros.
    pub(super) fn load(&mut self, lane: Lane, extent: Extent, to: Register, from: MemoryOperand) {
        let Extent::Part(n) = extent else {
            return match extent {
                Extent::First => self.put(self.set.load_bytes(lane.bytes() as usize, to, from)),
                _ => self.load_whole(to, from),
            };
        };
        let bytes = n * lane.bytes() as usize;
        match self.set {
            set if set.without_mask(lane, n) => self.put(set.load_bytes(bytes, to, from)),
            Set::Avx512 => {
                self.set_part(n);
                let code = by_lane!(
                    lane,
                    EVEX_Vmovups_zmm_k1z_zmmm512,
                    EVEX_Vmovupd_zmm_k1z_zmmm512
                );
                let masked = Instruction::with2(code, to, from).map(|mut made| {
                    made.set_op_mask(Register::K1);
                    made.set_zeroing_masking(true);
                    made
                });
                self.put(halved(masked, self.set.halvings(lane, n)));
            }
            Set::Avx2 => {
                self.mask_of_part(bytes, to);
                let code = X86::VEX_Vmaskmovps_ymm_ymm_m256;
                self.put(Instruction::with3(code, to, to, from));
            }
        }
    }

    /// As much of a vector as `extent` says. If that takes a mask in a vector, `free` is overwritten with it.
    pub(super) fn store(
        &mut self,
        lane: Lane,
        extent: Extent,
        to: MemoryOperand,
        from: Register,
        free: Option<Register>,
    ) {
        let Extent::Part(n) = extent else {
            return match extent {
                Extent::First => self.put(self.set.store_bytes(lane.bytes() as usize, to, from)),
                _ => self.store_whole(to, from),
            };
        };
        let bytes = n * lane.bytes() as usize;
        match (self.set, free) {
            (set, _) if set.without_mask(lane, n) => self.put(set.store_bytes(bytes, to, from)),
            (Set::Avx512, _) => {
                self.set_part(n);
                let code = by_lane!(
                    lane,
                    EVEX_Vmovups_zmmm512_k1z_zmm,
                    EVEX_Vmovupd_zmmm512_k1z_zmm
                );
                let masked = Instruction::with2(code, to, from).map(|mut made| {
                    made.set_op_mask(Register::K1);
                    made
                });
                self.put(halved(masked, self.set.halvings(lane, n)));
            }
            (Set::Avx2, mask) => {
                let mask = mask.expect("`Set::masks_are_vectors` says where one is needed");
                self.mask_of_part(bytes, mask);
                let code = X86::VEX_Vmaskmovps_m256_ymm_ymm;
                self.put(Instruction::with3(code, to, mask, from));
            }
        }
    }

    /// The elements of `from` that the mask has; other elements are 0. On AVX-512.
    pub(super) fn copy_masked(&mut self, lane: Lane, to: Register, from: Register, mask: Register) {
        let code = by_lane!(
            lane,
            EVEX_Vmovaps_zmm_k1z_zmmm512,
            EVEX_Vmovapd_zmm_k1z_zmmm512
        );
        let masked = Instruction::with2(code, to, from).map(|mut made| {
            made.set_op_mask(mask);
            made.set_zeroing_masking(true);
            made
        });
        self.put(masked);
    }

    /// A vector whose first bytes are ones, the others zeros: from a table of as many ones as a vector has, and as many
    /// zeros.
    fn mask_of_part(&mut self, bytes: usize, to: Register) {
        let half = LINE / 8 / 2;
        let mut ones = [0; LINE / 8];
        ones[..half].fill(-1);
        let table = match self.masks {
            Some(table) => table,
            None => self.words(&ones),
        };
        self.masks = Some(table);
        self.load_constant(to, table + self.set.vector() - bytes);
    }

    /// A whole vector of the constants.
    pub(super) fn load_constant(&mut self, to: Register, at: usize) {
        let set = self.set;
        self.put_with_constant(at, |m| set.whole(to, Operand::Memory(m)), false);
    }
}
