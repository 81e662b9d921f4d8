//! The trainer's tests with the interpreter.

const ENGINE: retrograd::Engine = retrograd::Engine::Tape;

#[path = "trainer.rs"]
mod trainer;
