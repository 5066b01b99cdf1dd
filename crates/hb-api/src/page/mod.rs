//! The small page of health.

use crate::onlooker::Onlooker;

/// The page's style sheet.
pub(crate) const STYLE: &str = include_str!("style.css");
/// The page's script.
pub(crate) const SCRIPT: &str = include_str!("page.js");
/// The page's icon.
pub(crate) const ICON: &str = include_str!("icon.svg");

pub(crate) fn render(onlooker: &dyn Onlooker) -> String {
    let view = onlooker.view();
    maud::html! { (maud::DOCTYPE) title { "hb" } p { (view.role.as_str()) } }.into_string()
}
