#![doc = include_str!("../README.md")]

pub mod contenders;
pub mod futures;
pub mod machine;
pub mod runtimes;
pub mod table;
pub mod workloads;
