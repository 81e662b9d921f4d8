//! `retrograd intuition`: runs the study and reports where its pages are.

use std::path::PathBuf;
use std::thread;

use anyhow::Result;
use retrograd::Engine;
use retrograd_study::{Done, Scale, Study};

use super::args::Intuition;
use super::progress::StudyProgress;

/// Runs the jobs without a result, writes the report, and returns its findings.
pub(super) fn run(args: &Intuition) -> Result<String> {
    let scale = match (args.quick, args.full) {
        (true, _) => Scale::Quick,
        (_, true) => Scale::Full,
        _ => Scale::Usual,
    };
    let threads = match args.threads {
        Some(threads) => threads,
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let out = args.out.clone().unwrap_or_else(|| {
        let scale = match scale {
            Scale::Quick => "-quick",
            Scale::Usual => "",
            Scale::Full => "-full",
        };
        let engine = match args.engine {
            Engine::Jit => "",
            Engine::Tape => "-tape",
        };
        PathBuf::from(format!("retrograd-out/intuition{scale}{engine}"))
    });
    let study = Study::new(scale, args.seed);
    let mut bar = StudyProgress::new();
    let mut progress = |done: Done| bar.set(done);
    let store = study.run(&out, threads, args.engine, &mut progress)?;
    drop(bar);
    let report = study.report(&store)?;
    let [markdown, html] = report.write(&out)?;
    let mut text = String::new();
    for section in &report.sections {
        text += &format!("{}\n\n", section.title);
        for finding in &section.findings {
            text += &format!("  - {finding}\n");
        }
        text.push('\n');
    }
    text += &format!(
        "report  {}\n        {}\n",
        html.display(),
        markdown.display()
    );
    Ok(text)
}
