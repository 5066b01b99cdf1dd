//! Units of measure: what can be converted into what, and by how much.

/// An affine conversion: `value * scale + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    /// Factor.
    pub scale: f64,
    /// What is added after the factor.
    pub offset: f64,
}

impl Conversion {
    /// Leaves values as they are.
    pub const IDENTITY: Self = Self { scale: 1.0, offset: 0.0 };

    /// The value in the target unit.
    #[inline]
    #[must_use]
    pub fn apply(self, value: f64) -> f64 {
        value.mul_add(self.scale, self.offset)
    }
}
