//! [`Target`]: the machine that a program is planned and compiled for.
//!
//! The planner, code generation and the choice of kernels all decide by this one description, so that the same program
//! for the same target has the same plan, the same code and the same bits wherever it was compiled. It is plain data.
//! The properties assumed of a level (vectors, caches, cycles) are committed here and in
//! [`plan::cycles`](crate::plan::cycles), never measured: a decision based on cost may regroup a sum.
//!
//! Invariant: only [`Target::host`], [`Target::runs_here`] and [`Target::all_runnable`] query the host.

use std::fmt;
use std::str::FromStr;

use crate::plan::cycles::{self, Cycles};

/// An instruction set level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The base of an architecture without levels here: AArch64, RISC-V, s390x.
    Portable,
    /// The base of x86-64: SSE2, vectors of 128 bits, no fused multiply-add.
    Baseline,
    /// x86-64 with AVX2 and FMA, vectors of 256 bits.
    Avx2,
    /// x86-64 with AVX-512 F, DQ and VL, and all of [`Level::Avx2`], vectors of 512 bits.
    Avx512,
}

/// Nominal sizes of a core's caches, in bytes: plans of a level assume them, whatever the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// First-level data cache.
    pub l1: usize,
    /// The core's second-level cache.
    pub l2: usize,
    /// The last-level cache, which cores may share.
    pub l3: usize,
}

/// A machine that programs are compiled for. Same target, same plan, same bits.
///
/// ```
/// use retrograd_graph::{Options, Target};
/// let everywhere = Options::default().with(|o| o.target = Target::baseline());
/// assert_eq!(everywhere.target.vector_bytes(), 16);
/// assert_eq!("avx2".parse(), Ok(Target::avx2()));
/// assert!(Target::host().runs_here());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    level: Level,
    bf16: Bf16Level,
}

/// What a target has for products of bfloat16 numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Bf16Level {
    None,
    /// AVX-512 BF16.
    Dot,
    /// AMX, beside that.
    Tiles,
}

/// A string that names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no target `{0}`; there are `portable`, `baseline`, `avx2`, `avx512`, `avx512+bf16`, `avx512+amx`"
)]
pub struct UnknownTarget(String);

impl Target {
    /// The base of an architecture without levels here. No x86-64 machine runs it: there it is [`Target::baseline`].
    pub const fn portable() -> Target {
        Target::of(Level::Portable)
    }

    /// Any x86-64 machine.
    pub const fn baseline() -> Target {
        Target::of(Level::Baseline)
    }

    /// x86-64 with AVX2 and FMA (Haswell, Zen and later).
    pub const fn avx2() -> Target {
        Target::of(Level::Avx2)
    }

    /// x86-64 with AVX-512 F, DQ and VL (Skylake-X, Zen 4 and later).
    pub const fn avx512() -> Target {
        Target::of(Level::Avx512)
    }

    const fn of(level: Level) -> Target {
        Target {
            level,
            bf16: Bf16Level::None,
        }
    }

    /// This target with products of 16-bit numbers (AVX-512 BF16), for [`Options::bf16`](crate::Options::bf16). Without them, the
    /// same bits take several instructions.
    ///
    /// # Panics
    /// For a level below AVX-512.
    #[must_use]
    pub fn with_bf16(self) -> Target {
        self.with(Bf16Level::Dot)
    }

    /// This target with tiles of 16-bit numbers (AMX), beside AVX-512 BF16: many times as fast, with sums in another order.
    ///
    /// # Panics
    /// For a level below AVX-512.
    #[must_use]
    pub fn with_amx(self) -> Target {
        self.with(Bf16Level::Tiles)
    }

    fn with(self, bf16: Bf16Level) -> Target {
        assert!(
            self.level == Level::Avx512,
            "products of 16-bit numbers are for AVX-512"
        );
        Target { bf16, ..self }
    }

    /// The best target that the host runs.
    pub fn host() -> Target {
        let best = Target::all_runnable().pop();
        best.expect("every machine runs its architecture's base")
    }

    /// One target for each level that the host runs, lowest first. The last is [`Target::host`], which includes the
    /// host's further features.
    pub fn all_runnable() -> Vec<Target> {
        let mut all: Vec<Target> = [
            Target::portable(),
            Target::baseline(),
            Target::avx2(),
            Target::avx512(),
        ]
        .into_iter()
        .filter(|t| t.runs_here())
        .collect();
        if let Some(best) = all.last_mut()
            && best.level == Level::Avx512
        {
            let more = [best.with_amx(), best.with_bf16()];
            *best = more.into_iter().find(|t| t.runs_here()).unwrap_or(*best);
        }
        all
    }

    /// Whether the host has all features of the target.
    pub fn runs_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = || {
                avx2()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            };
            let level = match self.level {
                Level::Portable => false,
                Level::Baseline => true,
                Level::Avx2 => avx2(),
                Level::Avx512 => avx512(),
            };
            let dot =
                || is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
            level
                && match self.bf16 {
                    Bf16Level::None => true,
                    Bf16Level::Dot => dot(),
                    Bf16Level::Tiles => dot() && has_tiles(),
                }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self.level == Level::Portable
        }
    }

    /// Its instruction set level.
    pub fn level(self) -> Level {
        self.level
    }

    /// Whether the target multiplies 16-bit numbers (BF16).
    pub fn bf16(self) -> bool {
        self.bf16 >= Bf16Level::Dot
    }

    /// Whether the target has tiles of 16-bit numbers (AMX).
    pub fn amx(self) -> bool {
        self.bf16 == Bf16Level::Tiles
    }

    /// Whether the target has fused multiply-add, which rounds once. Without it, emitted code and kernels round twice,
    /// so that results differ from those of targets that have it.
    pub fn fma(self) -> bool {
        match self.level {
            Level::Portable | Level::Avx2 | Level::Avx512 => true,
            Level::Baseline => false,
        }
    }

    /// Vector width of kernels in bytes. (Emitted code has [`cycles::EMITTED_BYTES`] on all targets, but for wide loops.)
    pub fn vector_bytes(self) -> usize {
        match self.level {
            Level::Portable | Level::Baseline => 16,
            Level::Avx2 => 32,
            Level::Avx512 => 64,
        }
    }

    /// Nominal cache sizes: approximately the smallest found among machines of the level.
    pub fn caches(self) -> Caches {
        const KIB: usize = 1 << 10;
        const MIB: usize = 1 << 20;
        let (l1, l2, l3) = match self.level {
            // Nehalem; Cortex-A76 is equal.
            Level::Portable | Level::Baseline => (32 * KIB, 256 * KIB, 8 * MIB),
            // Zen 2 and 3.
            Level::Avx2 => (32 * KIB, 512 * KIB, 16 * MIB),
            // Zen 4, where plans were measured.
            Level::Avx512 => (32 * KIB, MIB, 32 * MIB),
        };
        Caches { l1, l2, l3 }
    }

    /// The table of costs in cycles.
    pub fn cycles(self) -> &'static Cycles {
        match self.level {
            Level::Portable | Level::Baseline => &cycles::NARROW,
            Level::Avx2 | Level::Avx512 => &cycles::WIDE,
        }
    }

    /// Its name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self.level {
            Level::Portable => "portable",
            Level::Baseline => "baseline",
            Level::Avx2 => "avx2",
            Level::Avx512 if self.amx() => "avx512+amx",
            Level::Avx512 if self.bf16() => "avx512+bf16",
            Level::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Target, UnknownTarget> {
        let all = [
            Target::portable(),
            Target::baseline(),
            Target::avx2(),
            Target::avx512(),
            Target::avx512().with_bf16(),
            Target::avx512().with_amx(),
        ];
        let known = all.into_iter().find(|t| t.name() == name);
        known.ok_or_else(|| UnknownTarget(name.to_owned()))
    }
}

/// Whether processor and operating system have tiles of bfloat16 numbers, as Linux tells it. (The instruction that tells a
/// process needs unsafe code, and other systems do not let a process use them.)
#[cfg(target_arch = "x86_64")]
fn has_tiles() -> bool {
    static TOLD: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *TOLD.get_or_init(|| {
        let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = told.lines().find(|line| line.starts_with("flags"));
        let has = |flag: &str| flags.is_some_and(|f| f.split_whitespace().any(|x| x == flag));
        has("amx_tile") && has("amx_bf16")
    })
}
