//! Which instruction does an operation: AVX-512 on vectors of 512 bits.

use iced_x86::{Code, IcedError, Instruction, MemoryOperand, Register};

use super::block::{Extent, Fused, One, Two};
use retrograd_kernels::maths::{Compare, Lane, Rounding};

/// The last operand of an instruction.
#[derive(Clone, Copy)]
pub(super) enum Operand {
    Register(Register),
    Memory(MemoryOperand),
}

type Made = Result<Instruction, IcedError>;

impl Operand {
    /// The lowest 128 bits.
    pub(super) fn low(self) -> Operand {
        match self {
            Operand::Register(zmm) => Operand::Register(low(zmm)),
            Operand::Memory(_) => self,
        }
    }

    /// An instruction of these registers and this operand.
    pub(super) fn with(self, code: Code, registers: &[Register]) -> Made {
        match (registers, self) {
            (&[a], Operand::Register(z)) => Instruction::with2(code, a, z),
            (&[a], Operand::Memory(z)) => Instruction::with2(code, a, z),
            (&[a, b], Operand::Register(z)) => Instruction::with3(code, a, b, z),
            (&[a, b], Operand::Memory(z)) => Instruction::with3(code, a, b, z),
            _ => unreachable!("one or two registers before the last operand"),
        }
    }

    /// The same with an immediate number behind.
    pub(super) fn with_immediate(self, code: Code, registers: &[Register], imm: u32) -> Made {
        match (registers, self) {
            (&[a], Operand::Register(z)) => Instruction::with3(code, a, z, imm),
            (&[a], Operand::Memory(z)) => Instruction::with3(code, a, z, imm),
            (&[a, b], Operand::Register(z)) => Instruction::with4(code, a, b, z, imm),
            (&[a, b], Operand::Memory(z)) => Instruction::with4(code, a, b, z, imm),
            _ => unreachable!("one or two registers before the last operand"),
        }
    }
}

/// One of two instructions, for `f32` and for `f64`.
macro_rules! by_lane {
    ($lane:expr, $single:ident, $double:ident) => {
        match $lane {
            Lane::F32 => Code::$single,
            Lane::F64 => Code::$double,
        }
    };
}

pub(super) fn two(op: Two, lane: Lane) -> Code {
    match op {
        Two::Add => by_lane!(
            lane,
            EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er
        ),
        Two::Sub => by_lane!(
            lane,
            EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er
        ),
        Two::Mul => by_lane!(
            lane,
            EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er
        ),
        Two::Div => by_lane!(
            lane,
            EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er
        ),
        Two::Min => by_lane!(
            lane,
            EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae,
            EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae
        ),
        Two::Max => by_lane!(
            lane,
            EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae,
            EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae
        ),
        Two::And => by_lane!(
            lane,
            EVEX_Vandps_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vandpd_zmm_k1z_zmm_zmmm512b64
        ),
        Two::Or => by_lane!(
            lane,
            EVEX_Vorps_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vorpd_zmm_k1z_zmm_zmmm512b64
        ),
        Two::Xor => by_lane!(
            lane,
            EVEX_Vxorps_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vxorpd_zmm_k1z_zmm_zmmm512b64
        ),
        Two::AddIntegers => by_lane!(
            lane,
            EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64
        ),
        Two::SubIntegers => by_lane!(
            lane,
            EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64
        ),
    }
}

/// An operation of one operand, and its immediate number.
pub(super) fn one(op: One, lane: Lane) -> (Code, Option<u32>) {
    match op {
        One::Sqrt => (
            by_lane!(
                lane,
                EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er,
                EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er
            ),
            None,
        ),
        One::Round(how) => {
            // Bit 3: no exception for a result that is not exact.
            let imm = match how {
                Rounding::Nearest => 8,
                Rounding::Floor => 9,
                Rounding::Ceil => 10,
            };
            (
                by_lane!(
                    lane,
                    EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae,
                    EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae
                ),
                Some(imm),
            )
        }
        One::ShiftLeft(by) => (
            by_lane!(
                lane,
                EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8,
                EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8
            ),
            Some(by),
        ),
        One::ShiftRight(by) => (
            by_lane!(
                lane,
                EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8,
                EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8
            ),
            Some(by),
        ),
        One::SwapHalves => (
            Code::EVEX_Vshuff64x2_zmm_k1z_zmm_zmmm512b64_imm8,
            Some(0b01_00_11_10),
        ),
        One::SwapLines => (
            Code::EVEX_Vshuff64x2_zmm_k1z_zmm_zmmm512b64_imm8,
            Some(0b10_11_00_01),
        ),
        One::SwapInLine => (
            Code::EVEX_Vpermilpd_zmm_k1z_zmmm512b64_imm8,
            Some(0b0101_0101),
        ),
        One::SwapPairs => (
            Code::EVEX_Vpermilps_zmm_k1z_zmmm512b32_imm8,
            Some(0b10_11_00_01),
        ),
        One::First => (
            by_lane!(
                lane,
                EVEX_Vbroadcastss_zmm_k1z_xmmm32,
                EVEX_Vbroadcastsd_zmm_k1z_xmmm64
            ),
            None,
        ),
    }
}

/// A quotient of 128 bits.
pub(super) fn narrow_div(lane: Lane) -> Code {
    by_lane!(
        lane,
        EVEX_Vdivps_xmm_k1z_xmm_xmmm128b32,
        EVEX_Vdivpd_xmm_k1z_xmm_xmmm128b64
    )
}

/// A root of 128 bits.
pub(super) fn narrow_sqrt(lane: Lane) -> Code {
    by_lane!(
        lane,
        EVEX_Vsqrtps_xmm_k1z_xmmm128b32,
        EVEX_Vsqrtpd_xmm_k1z_xmmm128b64
    )
}

/// The order of a fused operation's operands: those of the product, then that of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    F132,
    F213,
    F231,
}

pub(super) fn fused(op: Fused, form: Form, lane: Lane) -> Code {
    match (op, form) {
        (Fused::Add, Form::F132) => by_lane!(
            lane,
            EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmadd132pd_zmm_k1z_zmm_zmmm512b64_er
        ),
        (Fused::Add, Form::F213) => by_lane!(
            lane,
            EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er
        ),
        (Fused::Add, Form::F231) => by_lane!(
            lane,
            EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er
        ),
        (Fused::Sub, Form::F132) => by_lane!(
            lane,
            EVEX_Vfmsub132ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmsub132pd_zmm_k1z_zmm_zmmm512b64_er
        ),
        (Fused::Sub, Form::F213) => by_lane!(
            lane,
            EVEX_Vfmsub213ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmsub213pd_zmm_k1z_zmm_zmmm512b64_er
        ),
        (Fused::Sub, Form::F231) => by_lane!(
            lane,
            EVEX_Vfmsub231ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmsub231pd_zmm_k1z_zmm_zmmm512b64_er
        ),
        (Fused::NegatedAdd, Form::F132) => by_lane!(
            lane,
            EVEX_Vfnmadd132ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfnmadd132pd_zmm_k1z_zmm_zmmm512b64_er
        ),
        (Fused::NegatedAdd, Form::F213) => by_lane!(
            lane,
            EVEX_Vfnmadd213ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfnmadd213pd_zmm_k1z_zmm_zmmm512b64_er
        ),
        (Fused::NegatedAdd, Form::F231) => by_lane!(
            lane,
            EVEX_Vfnmadd231ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfnmadd231pd_zmm_k1z_zmm_zmmm512b64_er
        ),
    }
}

pub(super) fn compare(lane: Lane) -> Code {
    by_lane!(
        lane,
        EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae,
        EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae
    )
}

/// The number of a comparison; of the one that holds for exchanged operands if `swapped`.
pub(super) fn predicate(how: Compare, swapped: bool) -> u32 {
    match (how, swapped) {
        (Compare::Equal, _) => 0x00,
        (Compare::Less, false) => 0x11,
        (Compare::Less, true) => 0x1e,
        (Compare::LessOrEqual, false) => 0x12,
        (Compare::LessOrEqual, true) => 0x1d,
        (Compare::NotEqual, _) => 0x04,
        (Compare::NotLess, false) => 0x15,
        (Compare::NotLess, true) => 0x1a,
        (Compare::Unordered, _) => 0x03,
    }
}

pub(super) fn equal_integers(lane: Lane) -> Code {
    by_lane!(
        lane,
        EVEX_Vpcmpeqd_kr_k1_zmm_zmmm512b32,
        EVEX_Vpcmpeqq_kr_k1_zmm_zmmm512b64
    )
}

pub(super) fn blend(lane: Lane) -> Code {
    by_lane!(
        lane,
        EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32,
        EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64
    )
}

/// A whole vector.
pub(super) fn copy(to: Register, from: Operand) -> Made {
    match from {
        Operand::Register(_) => from.with(Code::EVEX_Vmovaps_zmm_k1z_zmmm512, &[to]),
        Operand::Memory(_) => from.with(Code::EVEX_Vmovups_zmm_k1z_zmmm512, &[to]),
    }
}

/// The elements of `from` that the mask has; other elements are 0.
pub(super) fn copy_masked(lane: Lane, to: Register, from: Register, mask: Register) -> Made {
    let code = by_lane!(
        lane,
        EVEX_Vmovaps_zmm_k1z_zmmm512,
        EVEX_Vmovapd_zmm_k1z_zmmm512
    );
    let mut made = Instruction::with2(code, to, from)?;
    made.set_op_mask(mask);
    made.set_zeroing_masking(true);
    Ok(made)
}

/// One number of memory in all elements.
pub(super) fn splat(lane: Lane, to: Register, from: MemoryOperand) -> Made {
    Instruction::with2(one(One::First, lane).0, to, from)
}

pub(super) fn load(lane: Lane, extent: Extent, to: Register, from: MemoryOperand) -> Made {
    match extent {
        Extent::Whole => copy(to, Operand::Memory(from)),
        Extent::Part => {
            let code = by_lane!(
                lane,
                EVEX_Vmovups_zmm_k1z_zmmm512,
                EVEX_Vmovupd_zmm_k1z_zmmm512
            );
            let mut made = Instruction::with2(code, to, from)?;
            made.set_op_mask(Register::K1);
            made.set_zeroing_masking(true);
            Ok(made)
        }
        Extent::First => Instruction::with2(
            by_lane!(lane, EVEX_Vmovss_xmm_k1z_m32, EVEX_Vmovsd_xmm_k1z_m64),
            low(to),
            from,
        ),
    }
}

pub(super) fn store(lane: Lane, extent: Extent, to: MemoryOperand, from: Register) -> Made {
    match extent {
        Extent::Whole => Instruction::with2(Code::EVEX_Vmovups_zmmm512_k1z_zmm, to, from),
        Extent::Part => {
            let code = by_lane!(
                lane,
                EVEX_Vmovups_zmmm512_k1z_zmm,
                EVEX_Vmovupd_zmmm512_k1z_zmm
            );
            let mut made = Instruction::with2(code, to, from)?;
            made.set_op_mask(Register::K1);
            Ok(made)
        }
        Extent::First => Instruction::with2(
            by_lane!(lane, EVEX_Vmovss_m32_k1_xmm, EVEX_Vmovsd_m64_k1_xmm),
            to,
            low(from),
        ),
    }
}

/// The lowest 128 bits of a vector register.
pub(super) fn low(zmm: Register) -> Register {
    Register::XMM0 + (zmm as u32 - Register::ZMM0 as u32)
}
