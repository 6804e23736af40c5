//! The figures of the directory as a picture: seconds per stage, and peak memory, over the number of entries. All three axes are
//! logarithmic. A cost in proportion to the entries rises by one field of the grid for each field to the right.

use std::fmt::Write as _;

use super::report::{Line, Report};

/// A panel, in pixels.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
/// Between the left edges of the two panels.
const STEP: f64 = 640.0;

/// A line of a panel.
struct Series<'a> {
    name: &'a str,
    colour: &'a str,
    value: fn(&Line) -> f64,
}

const SECONDS: [Series<'static>; 4] = [
    Series { name: "whole process", colour: "#222222", value: |line| line.total_s },
    Series { name: "commit, marking", colour: "#c0392b", value: |line| line.write_s },
    Series { name: "generate", colour: "#2471a3", value: |line| line.stage("generate") },
    Series { name: "upload", colour: "#1e8449", value: |line| line.stage("upload") },
];
const MEMORY: [Series<'static>; 1] = [Series { name: "peak memory", colour: "#7d3c98", value: |line| line.peak_mib }];

/// Draws the runs to a directory, with the first layout.
pub fn draw(report: &Report) -> String {
    let layout = report.lines.first().map_or("", |line| &line.layout);
    let lines = report.lines.iter().filter(|line| line.to == "directory" && line.layout == layout);
    let lines: Vec<&Line> = lines.collect();
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1240 400\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"1240\" height=\"400\" fill=\"white\"/>\n",
    );
    panel(&mut svg, 0.0, "seconds", &lines, &SECONDS);
    panel(&mut svg, STEP, "MiB", &lines, &MEMORY);
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, x0: f64, unit: &str, lines: &[&Line], series: &[Series<'_>]) {
    let values = || lines.iter().flat_map(|line| series.iter().map(|series| (series.value)(line)));
    // A stage of less than a millisecond is drawn as one.
    let value = |value: f64| value.max(0.001);
    let across = decades(lines.iter().map(|line| f64::from(line.entries)));
    let up = decades(values().map(value));
    let x = |entries: f64| x0 + LEFT + WIDTH * share(entries, across);
    let y = |seconds: f64| TOP + HEIGHT * (1.0 - share(seconds, up));
    let bottom = TOP + HEIGHT;
    for power in up.0..=up.1 {
        let at = y(10_f64.powi(power));
        let (left, right, text) = (x0 + LEFT, x0 + LEFT + WIDTH, label(power));
        let _ = writeln!(svg, "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#dddddd\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", left - 8.0, at + 4.0);
    }
    for power in across.0..=across.1 {
        let (at, text) = (x(10_f64.powi(power)), label(power));
        let _ = writeln!(svg, "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#dddddd\"/>");
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", bottom + 20.0);
    }
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{unit}</text>", x0 + LEFT, TOP - 14.0);
    let middle = x0 + LEFT + WIDTH / 2.0;
    let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">entries</text>", bottom + 42.0);
    // The names stand at the ends of the lines, from the top down, and not over one another.
    let mut lowest = 0.0_f64;
    for Series { name, colour, value: of } in series {
        let points: Vec<String> =
            lines.iter().map(|line| format!("{:.1},{:.1}", x(f64::from(line.entries)), y(value(of(line))))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        if let Some(last) = lines.last() {
            let at = x0 + LEFT + WIDTH + 8.0;
            let height = (y(value(of(last))) + 4.0).max(lowest + 15.0);
            lowest = height;
            let _ = writeln!(svg, "<text x=\"{at}\" y=\"{height:.1}\" fill=\"{colour}\">{name}</text>");
        }
    }
}

/// The powers of ten that enclose all values.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let (least, most) =
        values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    (first, last.max(first + 1))
}

fn share(value: f64, (first, last): (i32, i32)) -> f64 {
    (value.log10() - f64::from(first)) / f64::from(last - first)
}

fn label(power: i32) -> String {
    match power {
        6 => "1M".to_owned(),
        3..6 => format!("{}k", 10_i32.pow(power as u32 - 3)),
        _ => format!("{}", 10_f64.powi(power)),
    }
}
