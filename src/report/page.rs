//! `report.html`: one file that needs no other and no network, for a run or for several.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::claims::Claim;
use super::console::{self, duration, thousands};
use super::experiment::{COLUMNS, Experiment};
use super::plots::encode_png;
use crate::data::picture::picture_of;
use crate::data::{Dataset, DatasetInfo, Label};
use crate::error::Result;
use crate::recipe::Recipe;
use crate::training::metrics::Evaluation;

/// The most confident mistakes that are shown.
const MISTAKES: usize = 24;
/// A confusion matrix of more classes would not fit on a page.
const MAX_MATRIX: usize = 40;

/// What is shown of a single run, beyond what several runs have in common.
pub struct Detail<'a> {
    /// What was trained.
    pub recipe: &'a Recipe,
    /// Where the images came from.
    pub info: &'a DatasetInfo,
    /// The images themselves.
    pub dataset: &'a Dataset,
    /// On the test set, after the last epoch.
    pub evaluation: &'a Evaluation,
    /// On the test set with test-time augmentation, where the recipe has it.
    pub augmented: Option<&'a Evaluation>,
}

/// The whole page.
///
/// # Errors
/// Io: an image cannot be encoded.
pub fn render(experiment: &Experiment, detail: Option<&Detail<'_>>) -> Result<String> {
    let intro: String = experiment.intro.iter().map(|p| format!("<p>{}</p>\n", escape(p))).collect();
    let runs: Vec<_> = experiment.runs.iter().map(|run| json!({"name": run.name, "metrics": run.metrics})).collect();
    // In a script element only "</" could end the data early.
    let data = json!({ "runs": runs }).to_string().replace('<', "\\u003c");
    let detail = detail.map(render_detail).transpose()?.unwrap_or_default();
    Ok(fill(
        include_str!("page/page.html"),
        &[
            ("title", &escape(&experiment.title)),
            ("intro", &intro),
            ("table", &table(experiment)),
            ("claims", &claims(&experiment.claims)),
            ("detail", &detail),
            ("data", &data),
            ("css", include_str!("page/page.css")),
            ("uplot_css", CHART_LIBRARY[1].1),
            ("js", include_str!("page/page.js")),
            ("uplot_js", CHART_LIBRARY[0].1),
            ("charts_js", CHART_LIBRARY[2].1),
        ],
    ))
}

/// Puts each value where the template has `{{name}}`, in one pass, so that a value may hold such a mark itself.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut parts = template.split("{{");
    let mut page = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or(("", part));
        page += values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        page += rest;
    }
    page
}

fn table(experiment: &Experiment) -> String {
    let rows = experiment.rows();
    // A device that all runs have in common is told once, since the table is wide.
    let device = COLUMNS.iter().position(|column| *column == "device");
    let shared = device.filter(|&at| rows.len() > 1 && rows.iter().all(|row| row[at] == rows[0][at]));
    let cells = |tag: &str, row: &[String]| -> String {
        let shown = row.iter().enumerate().filter(|(at, _)| Some(*at) != shared);
        shown.map(|(_, cell)| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
    };
    let told = shared.map(|at| format!("All on {}; ", escape(&rows[0][at]))).unwrap_or_default();
    let rows: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Results\"><table>\n<thead><tr>{}</tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n<p class=\"note\">{told}{}</p>",
        cells("th", &COLUMNS.map(String::from)),
        Experiment::TABLE_NOTE
    )
}

fn claims(claims: &[Claim]) -> String {
    if claims.is_empty() {
        return String::new();
    }
    let item = |claim: &Claim| {
        let class = match claim.confirmed {
            Some(true) => "yes",
            Some(false) => "no",
            None => "open",
        };
        let (text, evidence) = (escape(&claim.text), escape(&claim.evidence));
        format!("<li class=\"{class}\"><strong>{text}</strong> ({}): {evidence}.</li>\n", claim.verdict())
    };
    let items: String = claims.iter().map(item).collect();
    format!("<section><h2>The reference's claims</h2>\n<ul class=\"claims\">\n{items}</ul></section>")
}

fn render_detail(detail: &Detail<'_>) -> Result<String> {
    let Detail { recipe, info, evaluation, augmented, .. } = detail;
    let facts = [
        (
            "images",
            format!(
                "{} ({}): {} train, {} test, {} classes",
                recipe.dataset,
                info.origin,
                thousands(info.train_images as u64),
                thousands(info.test_images as u64),
                info.classes.len()
            ),
        ),
        ("final test loss", format!("{:.5} ({})", evaluation.loss, recipe.loss)),
        ("final test accuracy", format!("{:.2} %", evaluation.accuracy)),
    ];
    let with_views = augmented.map(|augmented| {
        let loss = format!("loss {:.5}", augmented.loss);
        ("with test-time augmentation", format!("{:.2} %, {loss} ({})", augmented.accuracy, recipe.tta))
    });
    let facts: String = facts
        .iter()
        .chain(&with_views)
        .map(|(name, text)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(text)))
        .collect();
    let toml = toml::to_string_pretty(recipe).unwrap_or_default();
    let command = recipe.command(info.origin.folder());
    Ok(format!(
        "{}\n{}\n{}\n<section><h2>How to repeat it</h2>\n<dl>{facts}</dl>\n<pre tabindex=\"0\">{}</pre>\n\
         <details><summary>recipe.toml</summary><pre tabindex=\"0\">{}</pre></details></section>",
        per_class(detail),
        matrix(detail),
        mistakes(detail)?,
        escape(&command),
        escape(&toml)
    ))
}

fn per_class(detail: &Detail<'_>) -> String {
    let row = |(class, counts): (usize, &Vec<u64>)| {
        let total = counts.iter().sum::<u64>().max(1);
        let share = 100.0 * counts[class] as f64 / total as f64;
        format!(
            "<tr><th scope=\"row\">{}</th><td>{share:.2} %</td><td><span class=\"bar\"><span style=\"width:{share:.1}%\">\
             </span></span></td><td>{} of {total}</td></tr>\n",
            escape(&detail.info.classes[class]),
            counts[class]
        )
    };
    let rows: String = detail.evaluation.confusion.iter().enumerate().map(row).collect();
    format!(
        "<section><h2>Accuracy by class</h2>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Accuracy by class\"><table><tbody>\n{rows}</tbody></table></div></section>"
    )
}

fn matrix(detail: &Detail<'_>) -> String {
    let (classes, confusion) = (&detail.info.classes, &detail.evaluation.confusion);
    if classes.len() > MAX_MATRIX {
        return String::new();
    }
    let head: String = classes.iter().map(|class| format!("<th scope=\"col\">{}</th>", escape(class))).collect();
    let cell = |row: usize, column: usize, count: u64, total: u64| {
        let share = (count as f64 / total as f64).sqrt(); // a handful of mistakes is seen beside a thousand hits
        let hue = if row == column { "hit" } else { "miss" };
        // Either pale under the page's ink or full under the other: nothing between, where neither could be read.
        let (strong, share) = if share > 0.55 { (" class=\"strong\"", 1.0) } else { ("", 0.6 * share) };
        let text = if count == 0 { String::new() } else { count.to_string() };
        format!("<td{strong} style=\"--hue:var(--{hue});--share:{share:.3}\">{text}</td>")
    };
    let row = |(row, counts): (usize, &Vec<u64>)| {
        let total = counts.iter().sum::<u64>().max(1);
        let cells: String = counts.iter().enumerate().map(|(column, &count)| cell(row, column, count, total)).collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(&classes[row]))
    };
    let rows: String = confusion.iter().enumerate().map(row).collect();
    format!(
        "<section><h2>Confusion matrix</h2>\n<p class=\"note\">A row is a label, a column what the network said.</p>\n\
         <div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Confusion matrix\"><table class=\"confusion\">\
         <thead><tr><td></td>{head}</tr></thead><tbody>\n{rows}</tbody></table></div></section>"
    )
}

fn mistakes(detail: &Detail<'_>) -> Result<String> {
    let (test, evaluation, classes) = (&detail.dataset.test, detail.evaluation, &detail.info.classes);
    let mut wrong: Vec<usize> = (0..test.len()).filter(|&i| test.labels[i] != evaluation.predictions[i]).collect();
    let count = wrong.len();
    wrong.sort_by(|&a, &b| evaluation.confidences[b].total_cmp(&evaluation.confidences[a]));
    let mut items = String::new();
    for &i in wrong.iter().take(MISTAKES) {
        let Some(pixels) = test.image(i) else { continue };
        let png = STANDARD.encode(encode_png(&picture_of(pixels, test.shape))?);
        let name = |class: Label| escape(classes.get(usize::from(class)).map_or("?", String::as_str));
        let (label, prediction) = (name(test.labels[i]), name(evaluation.predictions[i]));
        items += &format!(
            "<li><img src=\"data:image/png;base64,{png}\" alt=\"test image {i}, {label}\">said {prediction}, \
             {:.1} %<br><span class=\"note\">is {label} (no. {i})</span></li>\n",
            100.0 * evaluation.confidences[i]
        );
    }
    let these = if count == 0 { "" } else { "; these with the highest probability" };
    Ok(format!(
        "<section><h2>Most confidently wrong</h2>\n<p class=\"note\">{} of {} test images got another class than \
         theirs{these}.</p>\n<ul class=\"wrong\">\n{items}</ul></section>",
        thousands(count as u64),
        thousands(test.len() as u64)
    ))
}

/// The sentences above a single run's results.
pub fn run_intro(recipe: &Recipe, device: &str, parameters: u64, seconds: f64, epochs: usize) -> Vec<String> {
    vec![format!(
        "{} ({} parameters) trained for {} on {device} in {}, by tinderbox {}.",
        recipe.short_name(),
        thousands(parameters),
        console::epochs(epochs),
        duration(seconds),
        env!("CARGO_PKG_VERSION")
    )]
}

/// uPlot, of which the licence is in `page/LICENSE-uPlot`, and the charts that reports and the page make with it.
pub const CHART_LIBRARY: [(&str, &str); 3] = [
    ("uPlot.iife.min.js", include_str!("page/uPlot.iife.min.js")),
    ("uPlot.min.css", include_str!("page/uPlot.min.css")),
    ("charts.js", include_str!("page/charts.js")),
];

/// Text for HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_in_one_pass() {
        assert_eq!(fill("a {{x}} b {{y}} {{z}}c", &[("x", "{{y}}"), ("y", "2")]), "a {{y}} b 2 c");
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
