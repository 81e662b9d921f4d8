//! Which instruction does an operation: AVX-512 on vectors of 512 bits, AVX2 and FMA on vectors of 256.

use iced_x86::{Code, IcedError, Instruction, MemoryOperand, Register};

use super::block::{Fused, One, Two};
use super::set::Set;
use retrograd_kernels::maths::{Compare, Lane, Rounding};

/// The last operand of an instruction.
#[derive(Clone, Copy)]
pub(super) enum Operand {
    Register(Register),
    Memory(MemoryOperand),
}

pub(super) type Made = Result<Instruction, IcedError>;

impl Operand {
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

    /// A choice between the second register and this operand, by a mask in a vector.
    pub(super) fn chosen_by(self, code: Code, [a, b]: [Register; 2], mask: Register) -> Made {
        match self {
            Operand::Register(z) => Instruction::with4(code, a, b, z, mask),
            Operand::Memory(z) => Instruction::with4(code, a, b, z, mask),
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

/// One of four instructions: AVX-512 for `f32` and for `f64`, AVX2 for both.
macro_rules! choose {
    ($set:expr, $lane:expr, $ps512:ident, $pd512:ident, $ps256:ident, $pd256:ident) => {
        match ($set, $lane) {
            (Set::Avx512, Lane::F32) => Code::$ps512,
            (Set::Avx512, Lane::F64) => Code::$pd512,
            (Set::Avx2, Lane::F32) => Code::$ps256,
            (Set::Avx2, Lane::F64) => Code::$pd256,
        }
    };
}

/// The order of a fused operation's operands: those of the product, then that of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    F132,
    F213,
    F231,
}

impl Set {
    pub(super) fn two(self, op: Two, lane: Lane) -> Code {
        match op {
            Two::Add => choose!(
                self,
                lane,
                EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vaddps_ymm_ymm_ymmm256,
                VEX_Vaddpd_ymm_ymm_ymmm256
            ),
            Two::Sub => choose!(
                self,
                lane,
                EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vsubps_ymm_ymm_ymmm256,
                VEX_Vsubpd_ymm_ymm_ymmm256
            ),
            Two::Mul => choose!(
                self,
                lane,
                EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vmulps_ymm_ymm_ymmm256,
                VEX_Vmulpd_ymm_ymm_ymmm256
            ),
            Two::Div => choose!(
                self,
                lane,
                EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vdivps_ymm_ymm_ymmm256,
                VEX_Vdivpd_ymm_ymm_ymmm256
            ),
            Two::Min => choose!(
                self,
                lane,
                EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae,
                EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae,
                VEX_Vminps_ymm_ymm_ymmm256,
                VEX_Vminpd_ymm_ymm_ymmm256
            ),
            Two::Max => choose!(
                self,
                lane,
                EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae,
                EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae,
                VEX_Vmaxps_ymm_ymm_ymmm256,
                VEX_Vmaxpd_ymm_ymm_ymmm256
            ),
            Two::And => choose!(
                self,
                lane,
                EVEX_Vandps_zmm_k1z_zmm_zmmm512b32,
                EVEX_Vandpd_zmm_k1z_zmm_zmmm512b64,
                VEX_Vandps_ymm_ymm_ymmm256,
                VEX_Vandpd_ymm_ymm_ymmm256
            ),
            Two::Or => choose!(
                self,
                lane,
                EVEX_Vorps_zmm_k1z_zmm_zmmm512b32,
                EVEX_Vorpd_zmm_k1z_zmm_zmmm512b64,
                VEX_Vorps_ymm_ymm_ymmm256,
                VEX_Vorpd_ymm_ymm_ymmm256
            ),
            Two::Xor => choose!(
                self,
                lane,
                EVEX_Vxorps_zmm_k1z_zmm_zmmm512b32,
                EVEX_Vxorpd_zmm_k1z_zmm_zmmm512b64,
                VEX_Vxorps_ymm_ymm_ymmm256,
                VEX_Vxorpd_ymm_ymm_ymmm256
            ),
            Two::Unlike => choose!(
                self,
                lane,
                EVEX_Vandnps_zmm_k1z_zmm_zmmm512b32,
                EVEX_Vandnpd_zmm_k1z_zmm_zmmm512b64,
                VEX_Vandnps_ymm_ymm_ymmm256,
                VEX_Vandnpd_ymm_ymm_ymmm256
            ),
            Two::AddIntegers => choose!(
                self,
                lane,
                EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32,
                EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64,
                VEX_Vpaddd_ymm_ymm_ymmm256,
                VEX_Vpaddq_ymm_ymm_ymmm256
            ),
            Two::SubIntegers => choose!(
                self,
                lane,
                EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32,
                EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64,
                VEX_Vpsubd_ymm_ymm_ymmm256,
                VEX_Vpsubq_ymm_ymm_ymmm256
            ),
            Two::LowerHalves => match self {
                Set::Avx512 => Code::EVEX_Vshuff64x2_zmm_k1z_zmm_zmmm512b64_imm8,
                Set::Avx2 => Code::VEX_Vperm2f128_ymm_ymm_ymmm256_imm8,
            },
        }
    }

    /// The immediate number of an operation of two operands that has one.
    pub(super) fn immediate(self, op: Two) -> Option<u32> {
        match (op, self) {
            (Two::LowerHalves, Set::Avx512) => Some(0b01_00_01_00),
            (Two::LowerHalves, Set::Avx2) => Some(0x20),
            _ => None,
        }
    }

    /// An operation of one operand.
    pub(super) fn one(self, op: One, lane: Lane, to: Register, from: Register) -> Made {
        use Instruction as I;
        match (op, self) {
            (One::Sqrt, _) => I::with2(
                choose!(
                    self,
                    lane,
                    EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er,
                    EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er,
                    VEX_Vsqrtps_ymm_ymmm256,
                    VEX_Vsqrtpd_ymm_ymmm256
                ),
                to,
                from,
            ),
            (One::Round(how), _) => {
                // Bit 3: no exception for a result that is not exact.
                let imm = match how {
                    Rounding::Nearest => 8,
                    Rounding::Floor => 9,
                    Rounding::Ceil => 10,
                };
                let code = choose!(
                    self,
                    lane,
                    EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae,
                    EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae,
                    VEX_Vroundps_ymm_ymmm256_imm8,
                    VEX_Vroundpd_ymm_ymmm256_imm8
                );
                I::with3(code, to, from, imm)
            }
            (One::ShiftLeft(by), _) => {
                let code = choose!(
                    self,
                    lane,
                    EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8,
                    EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8,
                    VEX_Vpslld_ymm_ymm_imm8,
                    VEX_Vpsllq_ymm_ymm_imm8
                );
                I::with3(code, to, from, by)
            }
            (One::ShiftRight(by), _) => {
                let code = choose!(
                    self,
                    lane,
                    EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8,
                    EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8,
                    VEX_Vpsrld_ymm_ymm_imm8,
                    VEX_Vpsrlq_ymm_ymm_imm8
                );
                I::with3(code, to, from, by)
            }
            (One::SwapHalves, Set::Avx512) => {
                let code = Code::EVEX_Vshuff64x2_zmm_k1z_zmm_zmmm512b64_imm8;
                I::with4(code, to, from, from, 0b01_00_11_10)
            }
            (One::SwapLines, Set::Avx512) => {
                let code = Code::EVEX_Vshuff64x2_zmm_k1z_zmm_zmmm512b64_imm8;
                I::with4(code, to, from, from, 0b10_11_00_01)
            }
            // A vector is two lines.
            (One::SwapHalves | One::SwapLines, Set::Avx2) => {
                I::with3(Code::VEX_Vpermpd_ymm_ymmm256_imm8, to, from, 0b01_00_11_10)
            }
            (One::SwapInLine, Set::Avx512) => {
                let code = Code::EVEX_Vpermilpd_zmm_k1z_zmmm512b64_imm8;
                I::with3(code, to, from, 0b0101_0101)
            }
            (One::SwapInLine, Set::Avx2) => {
                I::with3(Code::VEX_Vpermilpd_ymm_ymmm256_imm8, to, from, 0b0101)
            }
            (One::SwapPairs, _) => {
                let code = match self {
                    Set::Avx512 => Code::EVEX_Vpermilps_zmm_k1z_zmmm512b32_imm8,
                    Set::Avx2 => Code::VEX_Vpermilps_ymm_ymmm256_imm8,
                };
                I::with3(code, to, from, 0b10_11_00_01)
            }
            (One::First, _) => I::with2(
                choose!(
                    self,
                    lane,
                    EVEX_Vbroadcastss_zmm_k1z_xmmm32,
                    EVEX_Vbroadcastsd_zmm_k1z_xmmm64,
                    VEX_Vbroadcastss_ymm_xmm,
                    VEX_Vbroadcastsd_ymm_xmm
                ),
                to,
                low(from),
            ),
            (One::Widen, Set::Avx512) => {
                I::with2(Code::EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae, to, half(from))
            }
            (One::Widen, Set::Avx2) => I::with2(Code::VEX_Vcvtps2pd_ymm_xmmm128, to, half(from)),
            (One::Narrow, Set::Avx512) => {
                I::with2(Code::EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er, half(to), from)
            }
            (One::Narrow, Set::Avx2) => I::with2(Code::VEX_Vcvtpd2ps_xmm_ymmm256, half(to), from),
        }
    }

    pub(super) fn fused(self, op: Fused, form: Form, lane: Lane) -> Code {
        match (op, form) {
            (Fused::Add, Form::F132) => choose!(
                self,
                lane,
                EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfmadd132pd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vfmadd132ps_ymm_ymm_ymmm256,
                VEX_Vfmadd132pd_ymm_ymm_ymmm256
            ),
            (Fused::Add, Form::F213) => choose!(
                self,
                lane,
                EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vfmadd213ps_ymm_ymm_ymmm256,
                VEX_Vfmadd213pd_ymm_ymm_ymmm256
            ),
            (Fused::Add, Form::F231) => choose!(
                self,
                lane,
                EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vfmadd231ps_ymm_ymm_ymmm256,
                VEX_Vfmadd231pd_ymm_ymm_ymmm256
            ),
            (Fused::Sub, Form::F132) => choose!(
                self,
                lane,
                EVEX_Vfmsub132ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfmsub132pd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vfmsub132ps_ymm_ymm_ymmm256,
                VEX_Vfmsub132pd_ymm_ymm_ymmm256
            ),
            (Fused::Sub, Form::F213) => choose!(
                self,
                lane,
                EVEX_Vfmsub213ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfmsub213pd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vfmsub213ps_ymm_ymm_ymmm256,
                VEX_Vfmsub213pd_ymm_ymm_ymmm256
            ),
            (Fused::Sub, Form::F231) => choose!(
                self,
                lane,
                EVEX_Vfmsub231ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfmsub231pd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vfmsub231ps_ymm_ymm_ymmm256,
                VEX_Vfmsub231pd_ymm_ymm_ymmm256
            ),
            (Fused::NegatedAdd, Form::F132) => choose!(
                self,
                lane,
                EVEX_Vfnmadd132ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfnmadd132pd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vfnmadd132ps_ymm_ymm_ymmm256,
                VEX_Vfnmadd132pd_ymm_ymm_ymmm256
            ),
            (Fused::NegatedAdd, Form::F213) => choose!(
                self,
                lane,
                EVEX_Vfnmadd213ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfnmadd213pd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vfnmadd213ps_ymm_ymm_ymmm256,
                VEX_Vfnmadd213pd_ymm_ymm_ymmm256
            ),
            (Fused::NegatedAdd, Form::F231) => choose!(
                self,
                lane,
                EVEX_Vfnmadd231ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfnmadd231pd_zmm_k1z_zmm_zmmm512b64_er,
                VEX_Vfnmadd231ps_ymm_ymm_ymmm256,
                VEX_Vfnmadd231pd_ymm_ymm_ymmm256
            ),
        }
    }

    /// A comparison, whose result is a mask on AVX-512, a vector on AVX2.
    pub(super) fn compare(self, lane: Lane) -> Code {
        choose!(
            self,
            lane,
            EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae,
            EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae,
            VEX_Vcmpps_ymm_ymm_ymmm256_imm8,
            VEX_Vcmppd_ymm_ymm_ymmm256_imm8
        )
    }

    /// The same of integers that are equal.
    pub(super) fn equal_integers(self, lane: Lane) -> Code {
        choose!(
            self,
            lane,
            EVEX_Vpcmpeqd_kr_k1_zmm_zmmm512b32,
            EVEX_Vpcmpeqq_kr_k1_zmm_zmmm512b64,
            VEX_Vpcmpeqd_ymm_ymm_ymmm256,
            VEX_Vpcmpeqq_ymm_ymm_ymmm256
        )
    }

    /// Whether a mask has any element: "equal" holds if not.
    pub(super) fn test(self, mask: Register) -> Made {
        let code = match self {
            Set::Avx512 => Code::VEX_Kortestw_kr_kr,
            Set::Avx2 => Code::VEX_Vptest_ymm_ymmm256,
        };
        Instruction::with2(code, mask, mask)
    }

    /// A choice by a mask.
    pub(super) fn blend(self, lane: Lane) -> Code {
        choose!(
            self,
            lane,
            EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64,
            VEX_Vblendvps_ymm_ymm_ymmm256_ymm,
            VEX_Vblendvpd_ymm_ymm_ymmm256_ymm
        )
    }
}

/// A choice by an immediate number, on AVX2.
pub(super) fn blend_parts(lane: Lane) -> Code {
    match lane {
        Lane::F32 => Code::VEX_Vblendps_ymm_ymm_ymmm256_imm8,
        Lane::F64 => Code::VEX_Vblendpd_ymm_ymm_ymmm256_imm8,
    }
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

/// An instruction on vectors of half the width, of half of that, and so on: all of them have the same operands.
pub(super) fn halved(made: Made, halvings: u32) -> Made {
    let mut instruction = made?;
    for _ in 0..halvings {
        // Codes of one instruction are listed by width, the least first.
        let code = Code::try_from(instruction.code() as usize - 1)?;
        debug_assert_eq!(code.mnemonic(), instruction.mnemonic());
        instruction.set_code(code);
        for k in 0..instruction.op_count() {
            let vector = instruction.op_register(k);
            if vector.is_vector_register() {
                instruction.set_op_register(k, half(vector));
            }
        }
    }
    Ok(instruction)
}

/// The lowest 128 bits of a vector register.
pub(super) fn low(vector: Register) -> Register {
    let first = match vector >= Register::ZMM0 {
        true => Register::ZMM0,
        false => Register::YMM0,
    };
    Register::XMM0 + (vector as u32 - first as u32)
}

/// The lower half of a vector register.
pub(super) fn half(vector: Register) -> Register {
    match vector >= Register::ZMM0 {
        true => Register::YMM0 + (vector as u32 - Register::ZMM0 as u32),
        false => low(vector),
    }
}
