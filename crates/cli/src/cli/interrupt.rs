//! Ctrl-C: the first one asks to stop after the current step, the second stops at once.

use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a process that Ctrl-C has ended, as shells count it.
pub(super) const CODE: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From here on, the first Ctrl-C only asks.
pub(super) fn watch() {
    // Where no handler can be installed, Ctrl-C ends the process as it always does.
    let _ = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(CODE));
        }
        eprintln!("stopping after this step; Ctrl-C again stops at once");
    });
}

/// Whether Ctrl-C has asked to stop.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
