//! Cells, their parameters and their training.

mod builder;
mod compiled;
mod init;
mod on_tape;
mod optim;
mod optimizers;
mod zoo;
