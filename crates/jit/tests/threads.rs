//! Runs share one pool of threads, however many executors there are and however many threads each may use, and wake no
//! thread if there is too little work. One test, because it counts the threads of the process.

use retrograd_jit::{CompiledCell, Executor, Purpose};
use retrograd_tape::Extent;
use retrograd_tape::InputRole;
use retrograd_text::read_tape;

fn gru(hidden: usize) -> CompiledCell<f32> {
    const GRU: &str = "cell gru(x[8]; h[H]) where H=32
z = sigmoid(dense(x, h))
r = sigmoid(dense(x, h))
h' = z * h + (1 - z) * tanh(dense(x, r * h))
target next[H]
loss mean(square(h' - next))
";
    let tape = read_tape("threads", GRU, &[("H", hidden)]).expect("a cell");
    CompiledCell::compile(&tape, &Purpose::Train).expect("it compiles")
}

/// Bits of all outputs of a run.
fn run(executor: &mut Executor<f32>, t: usize, b: usize) -> Vec<Vec<u32>> {
    let cell = executor.cell().clone();
    let number = |i: usize| (i as f32 * 0.37).sin() * 0.2;
    let lens = cell.inputs().iter().map(|i| match i.role {
        InputRole::Initial => 0,
        InputRole::Param => i.ty.shape.len(),
        _ => t * b * i.ty.shape.len(),
    });
    let given: Vec<Vec<f32>> = lens.map(|n| (0..n).map(number).collect()).collect();
    let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
    let lens = (0..cell.outputs().len()).map(|k| cell.output_len(k, Extent { steps: t, rows: b }));
    let mut own: Vec<Vec<f32>> = lens.map(|n| vec![f32::NAN; n]).collect();
    let mut outputs: Vec<&mut [f32]> = own.iter_mut().map(Vec::as_mut_slice).collect();
    executor
        .run(Extent { steps: t, rows: b }, &given, &mut outputs)
        .expect("the arrays fit");
    let bits = |a: &Vec<f32>| a.iter().map(|x| x.to_bits()).collect();
    own.iter().map(bits).collect()
}

/// Threads of this process.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .expect("Linux has it")
        .count()
}

#[test]
#[cfg(target_os = "linux")]
fn a_hundred_executors_share_as_many_threads_as_the_machine_has() {
    let machine = std::thread::available_parallelism().map_or(1, usize::from);
    let before = threads();

    // 32×1×100, as in docs/PERFORMANCE.md, is less than a thread's waking is worth.
    let small = gru(32);
    let mut executor = small.executor();
    let one = run(&mut executor, 100, 1);
    for n in [2, 1024, 2_000_000, usize::MAX] {
        executor.set_threads(n);
        assert!(run(&mut executor, 100, 1) == one);
        let memory = executor
            .memory(
                Extent {
                    steps: 100,
                    rows: 1,
                },
                (&[], &[]),
            )
            .expect("no budget");
        assert_eq!(
            memory.bytes,
            small
                .memory(
                    Extent {
                        steps: 100,
                        rows: 1
                    },
                    (&[], &[])
                )
                .expect("no budget")
                .bytes
        );
    }
    assert_eq!(threads(), before, "no thread begins for small work");

    // What is worth it is done by the threads that are there, or begin now, once.
    let large = gru(256);
    let one = run(&mut large.executor(), 20, 64);
    let mut executors: Vec<Executor<f32>> = (0..100).map(|_| large.executor()).collect();
    for executor in &mut executors {
        executor.set_threads(4);
        assert!(run(executor, 20, 64) == one);
    }
    assert!(
        threads() <= before + machine,
        "{} threads, and there were {before}",
        threads()
    );

    // In the caller's pool, no other is used.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3);
    let pool = pool.build().expect("threads begin");
    let with_pool = threads();
    let executor = &mut executors[0];
    assert!(pool.install(|| run(executor, 20, 64)) == one);
    assert_eq!(threads(), with_pool);
}
