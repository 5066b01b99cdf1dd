//! All mutants of a file in one file: each place asks which mutant is switched on.
//!
//! An expression `a < b` with two mutants becomes `(match crate::hbm(7, 8) { 7 => (a == b), 8 => (a > b), _ => (a < b) })`; a function gets a first
//! statement that returns; an arm of a `match` that may be deleted gets a guard. Only one mutant is on at a time, so what stands in the
//! arms is the text as it was.

use std::collections::BTreeMap;
use std::ops::Range;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::list::{Mutant, Place};

/// What is done at a place.
#[derive(Debug)]
enum Change {
    /// Another expression stands there.
    Instead(Vec<(usize, String)>),
    /// The function returns at once.
    Return(Vec<(usize, String)>),
    /// The arm, which has no guard, is never taken.
    Never(Vec<usize>),
}

/// A place, and what is done there.
#[derive(Debug)]
struct Site {
    range: Range<usize>,
    change: Change,
}

/// A file with all of its mutants.
pub struct Schema {
    /// The file.
    pub text: String,
    /// Mutants that could not be put in, by their number in the list.
    pub left_out: Vec<(usize, &'static str)>,
}

/// Numbers by which mutants are switched on: the first of a site is what it reports when it is reached.
pub type Ids = BTreeMap<usize, (u32, u32)>;

struct Finder<'a> {
    text: &'a str,
    /// Mutants of this file that are still wanted: their number, by genre and the place where they begin.
    mutants: BTreeMap<(&'a str, Place), Vec<(usize, &'a Mutant)>>,
    sites: Vec<Site>,
    left_out: Vec<(usize, &'static str)>,
    /// Within something that must be known when it is compiled.
    constant: usize,
}

fn place(at: LineColumn) -> Place {
    Place { line: at.line, column: at.column + 1 }
}

/// Puts mutants into a file.
///
/// # Errors
/// The file is no Rust.
pub fn make(text: &str, mutants: &[(usize, &Mutant)], next: &mut u32, ids: &mut Ids) -> Result<Schema, String> {
    let file = syn::parse_file(text).map_err(|error| error.to_string())?;
    let mut by_place: BTreeMap<(&str, Place), Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (number, mutant) in mutants {
        by_place.entry((mutant.genre.as_str(), mutant.span.start)).or_default().push((*number, mutant));
    }
    let mut finder = Finder { text, mutants: by_place, sites: Vec::new(), left_out: Vec::new(), constant: 0 };
    finder.visit_file(&file);
    let Finder { mut sites, mut left_out, mutants, .. } = finder;
    left_out.extend(mutants.into_values().flatten().map(|(number, _)| (number, "its place was not found")));
    // Outer ones first; of those that begin at one place what is put before it, then the longer.
    sites.sort_by_key(|site| (site.range.start, !site.range.is_empty(), std::cmp::Reverse(site.range.end)));
    let text = render(text, 0..text.len(), &sites, &mut (next, ids));
    Ok(Schema { text, left_out })
}

/// The text of a range with the sites in it.
fn render(text: &str, range: Range<usize>, sites: &[Site], ids: &mut (&mut u32, &mut Ids)) -> String {
    let mut out = String::new();
    let mut at = range.start;
    let mut rest = sites;
    while let Some((site, after)) = rest.split_first() {
        out.push_str(&text[at..site.range.start]);
        let inside = after.iter().take_while(|other| other.range.start < site.range.end).count();
        let (inner, outer) = after.split_at(inside);
        let (first, last) = numbered(&site.change, ids);
        match &site.change {
            Change::Instead(choices) => {
                // A line for each, so that what the compiler says is about one of them.
                out.push_str(&format!("(match crate::hbm({first}, {last}) {{"));
                for (id, (_, other)) in (first..).zip(choices) {
                    let one_line = !other.contains("//") && !other.contains("\\\n");
                    let other = if one_line { other.replace('\n', " ") } else { other.clone() };
                    out.push_str(&format!("\n{id} => ({other}),"));
                }
                out.push_str("\n_ => (");
                out.push_str(&render(text, site.range.clone(), inner, ids));
                out.push_str(") })");
            }
            Change::Return(choices) => {
                out.push_str(&format!(" match crate::hbm({first}, {last}) {{"));
                for (id, (_, other)) in (first..).zip(choices) {
                    out.push_str(&format!("\n{id} => return {other},"));
                }
                out.push_str("\n_ => {} }\n");
            }
            Change::Never(choices) => {
                let ids = (first..).take(choices.len()).map(|id| id.to_string()).collect::<Vec<_>>().join(" | ");
                out.push_str(&format!(" if !matches!(crate::hbm({first}, {last}), {ids})"));
            }
        }
        at = site.range.end;
        rest = outer;
    }
    out.push_str(&text[at..range.end]);
    out
}

fn numbered(change: &Change, (next, ids): &mut (&mut u32, &mut Ids)) -> (u32, u32) {
    let numbers: Vec<usize> = match change {
        Change::Instead(choices) | Change::Return(choices) => choices.iter().map(|(number, _)| *number).collect(),
        Change::Never(numbers) => numbers.clone(),
    };
    let first = **next;
    for number in &numbers {
        ids.insert(*number, (**next, first));
        **next += 1;
    }
    (first, **next - 1)
}

impl<'a> Finder<'a> {
    fn take(&mut self, genre: &'static str, at: LineColumn) -> Vec<(usize, &'a Mutant)> {
        let found = self.mutants.remove(&(genre, place(at))).unwrap_or_default();
        if self.constant > 0 {
            self.left_out.extend(found.iter().map(|(number, _)| (*number, "in a constant")));
            return Vec::new();
        }
        found
    }

    fn instead(&mut self, range: Range<usize>, choices: Vec<(usize, String)>) {
        if !choices.is_empty() {
            self.sites.push(Site { range, change: Change::Instead(choices) });
        }
    }

    fn body(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let Some(first) = block.stmts.first() else { return };
        self.constant += usize::from(signature.constness.is_some());
        let found = self.take("FnValue", first.span().start());
        self.constant -= usize::from(signature.constness.is_some());
        let start = first.span().byte_range().start;
        let choices: Vec<_> = found.into_iter().map(|(number, mutant)| (number, mutant.replacement.clone())).collect();
        if !choices.is_empty() {
            self.sites.push(Site { range: start..start, change: Change::Return(choices) });
        }
    }

    fn function(&mut self, signature: &syn::Signature, block: &'a syn::Block, go_on: impl FnOnce(&mut Self)) {
        self.body(signature, block);
        self.constant += usize::from(signature.constness.is_some());
        go_on(self);
        self.constant -= usize::from(signature.constness.is_some());
    }
}

/// Whether a `let` stands in a chain of conditions.
fn has_let(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) if matches!(binary.op, syn::BinOp::And(_)) => {
            has_let(&binary.left) || has_let(&binary.right)
        }
        _ => false,
    }
}

impl<'a> Visit<'a> for Finder<'a> {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.function(&item.sig, &item.block, |this| visit::visit_item_fn(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.function(&item.sig, &item.block, |this| visit::visit_impl_item_fn(this, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        match &item.default {
            Some(block) => self.function(&item.sig, block, |this| visit::visit_trait_item_fn(this, item)),
            None => visit::visit_trait_item_fn(self, item),
        }
    }

    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.constant += 1;
        visit::visit_item_const(self, item);
        self.constant -= 1;
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        self.constant += 1;
        visit::visit_impl_item_const(self, item);
        self.constant -= 1;
    }

    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        self.constant += 1;
        visit::visit_item_static(self, item);
        self.constant -= 1;
    }

    fn visit_expr_binary(&mut self, expr: &'a syn::ExprBinary) {
        let found = self.take("BinaryOperator", expr.op.span().start());
        if has_let(&expr.left) || has_let(&expr.right) {
            self.left_out.extend(found.iter().map(|(number, _)| (*number, "a chain with `let` cannot be another")));
        } else {
            let (whole, op) = (expr.span().byte_range(), expr.op.span().byte_range());
            let (left, right) = (&self.text[whole.start..op.start], &self.text[op.end..whole.end]);
            let choices =
                found.into_iter().map(|(number, one)| (number, format!("{left}{}{right}", one.replacement))).collect();
            self.instead(whole, choices);
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'a syn::ExprUnary) {
        let found = self.take("UnaryOperator", expr.op.span().start());
        let operand = self.text[expr.expr.span().byte_range()].to_owned();
        let choices = found.into_iter().map(|(number, _)| (number, operand.clone())).collect();
        self.instead(expr.span().byte_range(), choices);
        visit::visit_expr_unary(self, expr);
    }

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        let deleted = self.take("MatchArm", arm.span().start());
        match &arm.guard {
            Some((_, guard)) => {
                let found = self.take("MatchArmGuard", guard.span().start());
                let mut choices: Vec<_> =
                    found.into_iter().map(|(number, one)| (number, one.replacement.clone())).collect();
                choices.extend(deleted.into_iter().map(|(number, _)| (number, "false".to_owned())));
                if has_let(guard) {
                    self.left_out.extend(choices.iter().map(|(number, _)| (*number, "a guard with `let`")));
                } else {
                    self.instead(guard.span().byte_range(), choices);
                }
            }
            None if deleted.is_empty() => {}
            None => {
                let end = arm.pat.span().byte_range().end;
                let change = Change::Never(deleted.into_iter().map(|(number, _)| number).collect());
                self.sites.push(Site { range: end..end, change });
            }
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, expr: &'a syn::ExprStruct) {
        let whole = expr.span().byte_range();
        let mut choices = Vec::new();
        for pair in expr.fields.pairs() {
            let (field, comma) = (pair.value(), pair.punct());
            let found = self.take("StructField", field.span().start());
            let range = field.span().byte_range();
            let end = comma.map_or(range.end, |comma| comma.span().byte_range().end);
            let without = format!("{}{}", &self.text[whole.start..range.start], &self.text[end..whole.end]);
            choices.extend(found.into_iter().map(|(number, _)| (number, without.clone())));
        }
        self.instead(whole, choices);
        visit::visit_expr_struct(self, expr);
    }
}
