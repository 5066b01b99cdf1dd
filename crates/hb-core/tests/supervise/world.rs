//! The world in which walks happen.
