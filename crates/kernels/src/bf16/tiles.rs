//! TDPBF16PS: tiles of 16 × 16 sums, and 32 terms at a time.
//!
//! The tiles' registers are known to this module alone: a call sets them up and releases them. The operating system must
//! be asked for them once per process ([`permitted`]).
//!
//! Invariant: an element of C is c plus one instruction's sum after the other, 32 terms each, in ascending order; c is 0,
//! the bias or the old value. So its value does not depend on the tile.

use std::arch::asm;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::dot::Dot;
use super::product::Rows;
use super::unit::Unit;
use super::{K_BLOCK, Multiply};
use crate::micro::SumStart;
use crate::simd::{Simd, SimdOp};

/// Rows and columns of a tile of sums.
const SIDE: usize = 16;
/// Columns of a panel: two tiles.
const NR: usize = 2 * SIDE;
/// Lines that an instruction takes.
const LINES: usize = 16;
/// Rows whose numbers are rounded together.
const GROUP: usize = 64;
/// Words from one of these rows to the next: no power of two, so that a tile's rows lie in different sets of the cache.
const ROW: usize = K_BLOCK / 2 + LINES;

/// Whether the machine has tiles of bfloat16, and the operating system lets this process use them.
pub(crate) fn permitted() -> bool {
    #[cfg(target_os = "linux")]
    {
        static PERMITTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *PERMITTED.get_or_init(|| exist() && ask())
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Whether processor and operating system know tiles.
#[cfg(target_os = "linux")]
fn exist() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    const OSXSAVE: u32 = 1 << 27;
    const STATE: u32 = 0b11 << 17;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let (low, _high): (u32, u32);
    // SAFETY: with OSXSAVE the instruction exists, and reads a register only.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _high, options(nomem, nostack));
    }
    __cpuid_count(7, 0).edx & (BF16 | TILE) == BF16 | TILE && low & STATE == STATE
}

/// Asks for the state of tiles: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
#[cfg(target_os = "linux")]
fn ask() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: isize = 0x1023;
    const XTILEDATA: isize = 18;
    let answer: isize;
    // SAFETY: the call takes two numbers and accesses no memory of ours; it clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    answer == 0
}

/// The tiles, configured; released when dropped. 0 to 3 are sums, 4 and 5 rows of A, all of as many rows as asked for;
/// 6 and 7 are lines of B.
pub(super) struct Tiles;

impl Tiles {
    /// # Safety
    /// The process must be [`permitted`].
    unsafe fn of(rows: usize) -> Tiles {
        #[repr(C, align(64))]
        struct Config([u8; 64]);
        let mut config = Config([0; 64]);
        config.0[0] = 1;
        for t in 0..8 {
            // Bytes of a row, and rows.
            config.0[SIDE + 2 * t] = 64;
            config.0[48 + t] = if t < 6 { rows as u8 } else { LINES as u8 };
        }
        // SAFETY: the configuration is valid; the caller guarantees the permission.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack)) };
        Tiles
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: they exist, because they were configured.
        unsafe { asm!("tilerelease", options(nostack)) };
    }
}

/// A block of sums: up to two tiles of rows × one panel, or one tile of rows × up to two panels.
struct BlockOfSums {
    /// Lines to multiply, a multiple of [`LINES`].
    lines: usize,
    /// The rows, and those of the second tile.
    a: [*const u32; 2],
    /// Words from row to row.
    a_row: usize,
    /// The panels, at the first line.
    b: [*const u32; 2],
    c: *mut f32,
    ldc: usize,
    /// At least 1.
    rows: usize,
    cols: usize,
    /// Rows of a tile, as configured.
    tile_rows: usize,
    start: SumStart<f32>,
}

/// A tile-sized, or larger, piece of C where C itself is too small: 32 × 32 or 16 × 64.
#[repr(C, align(64))]
struct Aside([f32; NR * NR]);

impl BlockOfSums {
    /// # Safety
    /// The memory must be as the fields say, rows of A to whole tiles, and tiles be configured.
    #[inline(always)]
    unsafe fn run(&self) {
        let tall = self.rows > self.tile_rows;
        let (height, width) = match tall {
            true => (2 * self.tile_rows, NR),
            false if self.cols > NR => (self.tile_rows, 2 * NR),
            false => (self.tile_rows, NR),
        };
        // SAFETY: passed on to the caller. Aside, only rows and columns of C that exist are copied.
        unsafe {
            if self.rows == height && self.cols == width {
                return self.sums(tall, width, self.c, self.ldc, self.start);
            }
            let mut aside = Aside([0.0; NR * NR]);
            let to = aside.0.as_mut_ptr();
            let start = match self.start {
                SumStart::Zero => SumStart::Zero,
                SumStart::Bias(row) => {
                    for i in 0..self.rows {
                        to.add(i * width).copy_from_nonoverlapping(row, self.cols);
                    }
                    SumStart::Old
                }
                SumStart::Old => {
                    for i in 0..self.rows {
                        let from = self.c.add(i * self.ldc);
                        to.add(i * width).copy_from_nonoverlapping(from, self.cols);
                    }
                    SumStart::Old
                }
            };
            self.sums(tall, width, to, width, start);
            for i in 0..self.rows {
                let into = self.c.add(i * self.ldc);
                into.copy_from_nonoverlapping(to.add(i * width), self.cols);
            }
        }
    }

    /// All sums of whole tiles.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn sums(&self, tall: bool, width: usize, c: *mut f32, ldc: usize, start: SumStart<f32>) {
        let bytes = 4 * ldc;
        // Where the four tiles are: in two rows, or in one.
        let second = match tall {
            true => self.tile_rows * ldc,
            false => NR,
        };
        let four = tall || width > NR;
        // SAFETY: passed on to the caller.
        unsafe {
            let (c0, c1) = (c, c.wrapping_add(second));
            match start {
                SumStart::Zero => {
                    asm!("tilezero tmm0", "tilezero tmm1", options(nostack, nomem));
                    asm!("tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
                }
                SumStart::Bias(row) => {
                    // All rows are the same memory.
                    load(row, row.wrapping_add(if tall { 0 } else { NR }), 0, four);
                }
                SumStart::Old => load(c0, c1, bytes, four),
            }
            match (tall, four) {
                (true, _) => self.tall(),
                (false, true) => self.wide(),
                (false, false) => self.single(),
            }
            asm!(
                "tilestored [{c} + {s}*1], tmm0",
                "tilestored [{c} + {s}*1 + 64], tmm1",
                c = in(reg) c0, s = in(reg) bytes, options(nostack)
            );
            if four {
                asm!(
                    "tilestored [{c} + {s}*1], tmm2",
                    "tilestored [{c} + {s}*1 + 64], tmm3",
                    c = in(reg) c1, s = in(reg) bytes, options(nostack)
                );
            }
        }
    }

    /// Two tiles of rows by the two of a panel.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn tall(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            asm!(
                "2:",
                "tileloadd tmm4, [{a0} + {row}*1]",
                "tileloadd tmm6, [{b} + {line}*1]",
                "tileloadd tmm7, [{b} + {line}*1 + 64]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {row}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, 64",
                "add {a1}, 64",
                "add {b}, 2048",
                "dec {n}",
                "jnz 2b",
                a0 = inout(reg) self.a[0] => _,
                a1 = inout(reg) self.a[1] => _,
                b = inout(reg) self.b[0] => _,
                n = inout(reg) self.lines / LINES => _,
                row = in(reg) 4 * self.a_row,
                line = in(reg) 4 * NR,
                options(nostack, readonly)
            );
        }
    }

    /// One tile of rows by the four of two panels.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn wide(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            asm!(
                "2:",
                "tileloadd tmm4, [{a} + {row}*1]",
                "tileloadd tmm6, [{b0} + {line}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b0} + {line}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm6, [{b1} + {line}*1]",
                "tdpbf16ps tmm2, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {line}*1 + 64]",
                "tdpbf16ps tmm3, tmm4, tmm7",
                "add {a}, 64",
                "add {b0}, 2048",
                "add {b1}, 2048",
                "dec {n}",
                "jnz 2b",
                a = inout(reg) self.a[0] => _,
                b0 = inout(reg) self.b[0] => _,
                b1 = inout(reg) self.b[1] => _,
                n = inout(reg) self.lines / LINES => _,
                row = in(reg) 4 * self.a_row,
                line = in(reg) 4 * NR,
                options(nostack, readonly)
            );
        }
    }

    /// One tile of rows by the two of a panel.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn single(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            asm!(
                "2:",
                "tileloadd tmm4, [{a} + {row}*1]",
                "tileloadd tmm6, [{b} + {line}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {a}, 64",
                "add {b}, 2048",
                "dec {n}",
                "jnz 2b",
                a = inout(reg) self.a[0] => _,
                b = inout(reg) self.b[0] => _,
                n = inout(reg) self.lines / LINES => _,
                row = in(reg) 4 * self.a_row,
                line = in(reg) 4 * NR,
                options(nostack, readonly)
            );
        }
    }
}

/// Loads two tiles of sums from each address, or from the first alone.
///
/// # Safety
/// The tiles' rows must be readable, and tiles be configured.
#[inline(always)]
unsafe fn load(c0: *const f32, c1: *const f32, bytes: usize, four: bool) {
    // SAFETY: passed on to the caller.
    unsafe {
        asm!(
            "tileloadd tmm0, [{c} + {s}*1]",
            "tileloadd tmm1, [{c} + {s}*1 + 64]",
            c = in(reg) c0, s = in(reg) bytes, options(nostack, readonly)
        );
        if four {
            asm!(
                "tileloadd tmm2, [{c} + {s}*1]",
                "tileloadd tmm3, [{c} + {s}*1 + 64]",
                c = in(reg) c1, s = in(reg) bytes, options(nostack, readonly)
            );
        }
    }
}

/// See [`super::product`].
///
/// # Safety
/// See [`super::product`].
pub(super) unsafe fn product(p: Multiply) {
    #[repr(C, align(64))]
    struct Scratch([MaybeUninit<u32>; GROUP * ROW]);
    let mut scratch = Scratch([const { MaybeUninit::uninit() }; GROUP * ROW]);
    let rounded: *mut u32 = scratch.0.as_mut_ptr().cast();
    let all_lines = p.k.div_ceil(2 * LINES) * LINES;
    // A few rows are a tile of their own; else whole tiles are multiplied, and rows that are none left out.
    let tile_rows = p.m.min(SIDE);
    // SAFETY: the caller guarantees the unit; rows, panels and columns exist; a group's words fit.
    unsafe {
        let _tiles = Tiles::of(tile_rows);
        for i0 in (0..p.m).step_by(GROUP) {
            let rows = GROUP.min(p.m - i0);
            let whole = rows.next_multiple_of(tile_rows);
            for k0 in (0..p.k).step_by(K_BLOCK) {
                let n = K_BLOCK.min(p.k - k0);
                let lines = n.div_ceil(2 * LINES) * LINES;
                Dot::vectorize(Rows::<Dot> {
                    rows,
                    n,
                    a: p.a.add(i0 * p.lda + k0),
                    lda: p.lda,
                    to: rounded,
                    ld: ROW,
                    pairs: lines,
                    of: PhantomData,
                });
                rounded.add(rows * ROW).write_bytes(0, (whole - rows) * ROW);
                let panel = |j: usize| p.b.wrapping_add((j / NR * all_lines + k0 / 2) * NR);
                // Few rows go over two panels at once.
                let step = if rows <= tile_rows { 2 * NR } else { NR };
                let pieces = p.n.div_ceil(step);
                for piece in 0..pieces {
                    let j = step
                        * if p.backward {
                            pieces - 1 - piece
                        } else {
                            piece
                        };
                    for i in (0..rows).step_by(2 * tile_rows) {
                        let a = rounded.add(i * ROW);
                        BlockOfSums {
                            lines,
                            a: [a, a.wrapping_add(tile_rows * ROW)],
                            a_row: ROW,
                            b: [panel(j), panel(j + NR)],
                            c: p.c.add((i0 + i) * p.ldc + j),
                            ldc: p.ldc,
                            rows: (rows - i).min(2 * tile_rows),
                            cols: step.min(p.n - j),
                            tile_rows,
                            start: p.start.part(k0 == 0, j),
                        }
                        .run();
                    }
                }
            }
        }
    }
}

/// Tiles of 16 rows.
///
/// # Safety
/// The process must be [`permitted`].
pub(super) unsafe fn whole() -> Tiles {
    // SAFETY: passed on to the caller.
    unsafe { Tiles::of(SIDE) }
}

/// Turns lines of 16 columns into rows of as many words as there are lines, a multiple of 16.
///
/// # Safety
/// Both must exist.
pub(super) unsafe fn transpose(from: *const u32, lines: usize, to: *mut u32) {
    struct Squares(*const u32, usize, *mut u32);
    impl SimdOp for Squares {
        #[inline(always)]
        unsafe fn run(self) {
            let Squares(from, lines, to) = self;
            for l in (0..lines).step_by(LINES) {
                // SAFETY: passed on to the caller.
                unsafe {
                    let (from, to) = (from.add(l * SIDE), to.add(l));
                    <Dot as Unit>::S::transpose(from.cast(), SIDE, to.cast(), lines);
                }
            }
        }
    }
    // SAFETY: passed on to the caller.
    unsafe { Dot::vectorize(Squares(from, lines, to)) }
}

/// Rows of a weight gradient by a panel.
pub(super) struct OuterTiles {
    /// Lines, a multiple of [`LINES`], which are the words of a row.
    pub(super) lines: usize,
    /// The first tile of rows; each has 16, of which the last may have fewer that count.
    pub(super) a: *const u32,
    /// Words from tile to tile.
    pub(super) a_tile: usize,
    /// The panel.
    pub(super) b: *const u32,
    pub(super) c: *mut f32,
    pub(super) ldc: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) start: SumStart<f32>,
}

/// Multiplies them.
///
/// # Safety
/// Everything must be as the fields say, and tiles be those of [`whole`].
pub(super) unsafe fn outer(x: &OuterTiles) {
    if x.lines == 0 {
        // SAFETY: passed on to the caller.
        unsafe {
            if matches!(x.start, SumStart::Zero) {
                for i in 0..x.rows {
                    x.c.add(i * x.ldc).write_bytes(0, x.cols);
                }
            }
        }
        return;
    }
    // SAFETY: passed on to the caller.
    unsafe {
        for i in (0..x.rows).step_by(2 * SIDE) {
            let a = x.a.add(i / SIDE * x.a_tile);
            BlockOfSums {
                lines: x.lines,
                a: [a, a.wrapping_add(x.a_tile)],
                a_row: x.lines,
                b: [x.b; 2],
                c: x.c.add(i * x.ldc),
                ldc: x.ldc,
                rows: (x.rows - i).min(2 * SIDE),
                cols: x.cols,
                tile_rows: SIDE,
                start: x.start,
            }
            .run();
        }
    }
}
