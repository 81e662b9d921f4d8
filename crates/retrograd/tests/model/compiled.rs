//! The trainer's tests with compiled code.

const ENGINE: retrograd::Engine = retrograd::Engine::Jit;

#[path = "trainer.rs"]
#[expect(clippy::duplicate_mod, reason = "the same tests with another engine")]
mod trainer;
