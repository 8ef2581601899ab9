//! Everything that needs more than one module, in one binary, by situation.

mod cancel;
