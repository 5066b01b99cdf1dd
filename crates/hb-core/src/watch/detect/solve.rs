//! Linear least squares of a few unknowns, by normal equations and Cholesky's decomposition.

/// Normal equations being filled row by row.
#[derive(Debug)]
pub struct Normal {
    unknowns: usize,
    /// Row by row, the lower triangle only.
    matrix: Vec<f64>,
    right: Vec<f64>,
}

/// Share of a column's own square that must be left once the columns before it are taken off.
const INDEPENDENT: f64 = 1e-10;

impl Normal {
    /// Equations of so many unknowns.
    #[must_use]
    pub fn new(unknowns: usize) -> Self {
        Self { unknowns, matrix: vec![0.0; unknowns * unknowns], right: vec![0.0; unknowns] }
    }

    /// Adds an observation `x` of `row · unknowns`.
    pub fn add(&mut self, row: &[f64], x: f64) {
        for ((cells, a), right) in self.matrix.chunks_exact_mut(self.unknowns).zip(row).zip(&mut self.right) {
            cells.iter_mut().zip(row).for_each(|(cell, b)| *cell += a * b);
            *right += a * x;
        }
    }

    /// The solution, and the standard error of its last unknown for observations that scatter by one. Nothing where the
    /// unknowns cannot be told apart.
    #[must_use]
    pub fn solve(self) -> Option<(Vec<f64>, f64)> {
        let size = self.unknowns;
        let mut lower = self.matrix;
        let cell = |matrix: &[f64], row: usize, column: usize| matrix.get(row * size + column).copied();
        for row in 0..size {
            for column in 0..=row {
                let own = cell(&lower, row, column)?;
                let mut left = own;
                for before in 0..column {
                    left -= cell(&lower, row, before)? * cell(&lower, column, before)?;
                }
                let value = if row == column {
                    (left > INDEPENDENT * own).then(|| left.sqrt())?
                } else {
                    left / cell(&lower, column, column)?
                };
                *lower.get_mut(row * size + column)? = value;
            }
        }
        let mut solution = self.right;
        for row in 0..size {
            let mut left = *solution.get(row)?;
            for before in 0..row {
                left -= cell(&lower, row, before)? * solution.get(before)?;
            }
            *solution.get_mut(row)? = left / cell(&lower, row, row)?;
        }
        for row in (0..size).rev() {
            let mut left = *solution.get(row)?;
            for after in row + 1..size {
                left -= cell(&lower, after, row)? * solution.get(after)?;
            }
            *solution.get_mut(row)? = left / cell(&lower, row, row)?;
        }
        let last = cell(&lower, size.checked_sub(1)?, size - 1)?;
        solution.iter().all(|x| x.is_finite()).then(|| (solution, last.recip()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_with_its_error() {
        let mut normal = Normal::new(2);
        for (at, x) in [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)] {
            normal.add(&[1.0, at], x);
        }
        let (solution, error) = normal.solve().unwrap();
        assert!((solution[0] - 1.0).abs() < 1e-12 && (solution[1] - 2.0).abs() < 1e-12);
        // Of a slope: one over the root of the sum of squares about the mean, 5 here.
        assert!((error - 1.0 / 5.0_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_solved() {
        let mut normal = Normal::new(2);
        normal.add(&[1.0, 2.0], 1.0);
        normal.add(&[2.0, 4.0], 1.0);
        assert_eq!(normal.solve(), None);
        assert_eq!(Normal::new(0).solve(), None);
        let mut normal = Normal::new(1);
        normal.add(&[f64::NAN], 1.0);
        assert_eq!(normal.solve(), None);
    }
}
