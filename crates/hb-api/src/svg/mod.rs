//! Small pictures, drawn as SVG without a library.
