//! The parts of a report, and their rendering as Markdown and HTML.

use std::fmt::Write;

use crate::StudyError;
use retrograd_plot::Figure;

/// A report.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyReport {
    /// Its title.
    pub title: String,
    /// The introduction, in paragraphs; text between backquotes is code.
    pub intro: Vec<String>,
    /// One per question.
    pub sections: Vec<Section>,
}

/// The findings on one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The question.
    pub title: String,
    /// The method, in paragraphs.
    pub method: Vec<String>,
    /// The findings, each a paragraph.
    pub findings: Vec<String>,
    /// The pictures.
    pub drawings: Vec<Picture>,
    /// The tables.
    pub tables: Vec<Table>,
}

/// A picture and its caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The name of its files, without extension.
    pub name: &'static str,
    /// What it shows.
    pub caption: String,
    /// The picture.
    pub figure: Figure,
}

/// A table, the first column of which names its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// The columns' names.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// The style sheet, for screens of any size and for paper.
const STYLE: &str = "
body { font: 17px/1.5 sans-serif; color: #1e1e1e; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 3rem; border-top: 2px solid #ddd; padding-top: 1rem; }
.method { color: #555; }
.finding { border-left: 4px solid #0072b2; padding-left: 0.8rem; }
figure { margin: 1.5rem 0; }
figure svg { width: 100%; height: auto; }
figcaption, caption { color: #555; font-size: 0.9rem; text-align: left; padding: 0.4rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 1rem 0; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
";

impl StudyReport {
    /// As Markdown, with the pictures in files beside it.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n", self.title);
        let mut paragraph = |text: &str| out += &format!("{text}\n\n");
        self.intro.iter().for_each(|p| paragraph(p));
        for section in &self.sections {
            paragraph(&format!("## {}", section.title));
            section.method.iter().for_each(|p| paragraph(p));
            for finding in &section.findings {
                paragraph(&format!("> {finding}"));
            }
            for Picture { name, caption, .. } in &section.drawings {
                paragraph(&format!("![{caption}]({name}.svg)\n\n*{caption}*"));
            }
            for table in &section.tables {
                paragraph(&table.markdown());
            }
        }
        out
    }

    /// As one HTML page that needs no other file.
    ///
    /// # Errors
    /// [`StudyError::Plot`].
    pub fn html(&self) -> Result<String, StudyError> {
        let mut body = format!("<h1>{}</h1>\n", escape(&self.title));
        let paragraphs = |texts: &[String], class: &str| -> String {
            let of = |p: &String| format!("<p class=\"{class}\">{}</p>\n", marked(p));
            texts.iter().map(of).collect()
        };
        body += &paragraphs(&self.intro, "intro");
        for section in &self.sections {
            let _ = writeln!(body, "<h2>{}</h2>", escape(&section.title));
            body += &paragraphs(&section.method, "method");
            body += &paragraphs(&section.findings, "finding");
            for Picture {
                caption, figure, ..
            } in &section.drawings
            {
                let svg = figure.svg()?;
                let caption = marked(caption);
                let _ = writeln!(
                    body,
                    "<figure>{svg}<figcaption>{caption}</figcaption></figure>"
                );
            }
            for table in &section.tables {
                body += &table.html();
            }
        }
        let title = escape(&self.title);
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
        ))
    }
}

impl Table {
    fn markdown(&self) -> String {
        let row = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut out = format!("*{}*\n\n{}", self.caption, row(&self.head));
        let rule = self.head.iter().enumerate();
        let rule: Vec<&str> = rule
            .map(|(k, _)| if k == 0 { "---" } else { "---:" })
            .collect();
        out += &format!("| {} |\n", rule.join(" | "));
        out.extend(self.rows.iter().map(|r| row(r)));
        out.trim_end().to_owned()
    }

    fn html(&self) -> String {
        let row = |cells: &[String], tag: &str| {
            let of = |c: &String| format!("<{tag}>{}</{tag}>", marked(c));
            let cells: String = cells.iter().map(of).collect();
            format!("<tr>{cells}</tr>\n")
        };
        let rows: String = self.rows.iter().map(|r| row(r, "td")).collect();
        let (caption, head) = (marked(&self.caption), row(&self.head, "th"));
        format!(
            "<div class=\"wide\"><table>\n<caption>{caption}</caption>\n<thead>{head}</thead>\n\
             <tbody>\n{rows}</tbody>\n</table></div>\n"
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Escaped, with what stands between backquotes as code.
fn marked(text: &str) -> String {
    let parts = escape(text);
    let parts = parts.split('`').enumerate();
    let of = |(k, part): (usize, &str)| match k % 2 {
        0 => part.to_owned(),
        _ => format!("<code>{part}</code>"),
    };
    parts.map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_markdown_and_html() {
        let report = StudyReport {
            title: "Less < more".to_owned(),
            intro: vec!["see `a < b`".to_owned()],
            sections: vec![Section {
                title: "Q?".to_owned(),
                method: vec![],
                findings: vec!["so it is".to_owned()],
                drawings: vec![],
                tables: vec![Table {
                    caption: "numbers".to_owned(),
                    head: vec!["a".to_owned(), "b".to_owned()],
                    rows: vec![vec!["x|y".to_owned(), "1".to_owned()]],
                }],
            }],
        };
        let markdown = report.markdown();
        assert!(markdown.contains("> so it is\n"), "{markdown}");
        assert!(markdown.contains("| x\\|y | 1 |"), "{markdown}");
        let html = report.html().unwrap();
        assert!(html.contains("<code>a &lt; b</code>"), "{html}");
        assert!(html.contains("<td>x|y</td><td>1</td>"), "{html}");
        assert!(html.contains("<h1>Less &lt; more</h1>"), "{html}");
    }
}
