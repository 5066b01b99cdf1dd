//! placeholder
pub struct Closing; pub struct Collector; pub struct Grid; pub struct Place;
