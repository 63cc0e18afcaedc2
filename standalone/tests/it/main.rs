//! `stowage` as people run it: a process, a folder, commands.

mod folder;
mod pages;
mod settings;
mod start;
mod support;
