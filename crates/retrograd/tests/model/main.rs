//! Cells, their parameters and their training.

mod builder;
mod init;
mod optim;
mod trainer;
mod zoo;
