//! Two texts, line by line.

/// Lines around a change that are shown.
const AROUND: usize = 3;
/// Steps of the search, at most: two texts of 2,000 lines that have nothing in common.
const MAX_STEPS: usize = 4_000_000;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Same,
    Removed,
    Added,
    /// Lines in between that are the same; the text says how many.
    Left,
}

impl Change {
    /// The mark before the line.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Same => " ",
            Self::Removed => "−",
            Self::Added => "+",
            Self::Left => "⋯",
        }
    }

    /// What the mark means, for those who do not see it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Same | Self::Left => "",
            Self::Removed => "removed: ",
            Self::Added => "added: ",
        }
    }

    /// The class in the style.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Removed => "removed",
            Self::Added => "added",
            Self::Left => "left",
        }
    }
}

/// A line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) change: Change,
    pub(crate) text: String,
}

/// What was removed and what was added; none when the texts are the same.
pub(crate) fn compare(before: &str, after: &str) -> Vec<Line> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(one, other)| one == other).count();
    let mut all: Vec<(Change, &str)> = old[..head].iter().map(|line| (Change::Same, *line)).collect();
    middle(&old[head..old.len() - tail], &new[head..new.len() - tail], &mut all);
    all.extend(old[old.len() - tail..].iter().map(|line| (Change::Same, *line)));
    shorten(&all)
}

/// By the longest common subsequence.
fn middle<'t>(old: &[&'t str], new: &[&'t str], out: &mut Vec<(Change, &'t str)>) {
    let (rows, columns) = (old.len(), new.len());
    if rows.saturating_mul(columns) > MAX_STEPS {
        out.extend(old.iter().map(|line| (Change::Removed, *line)));
        out.extend(new.iter().map(|line| (Change::Added, *line)));
        return;
    }
    // How many lines are common from here on; a row and a column of nothing at the end.
    let width = columns + 1;
    let mut common = vec![0_u32; (rows + 1) * width];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row * width + column] = if old[row] == new[column] {
                common[(row + 1) * width + column + 1] + 1
            } else {
                common[(row + 1) * width + column].max(common[row * width + column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    while row < rows || column < columns {
        if row < rows && column < columns && old[row] == new[column] {
            out.push((Change::Same, old[row]));
            (row, column) = (row + 1, column + 1);
        } else if column >= columns
            || (row < rows && common[(row + 1) * width + column] >= common[row * width + column + 1])
        {
            out.push((Change::Removed, old[row]));
            row += 1;
        } else {
            out.push((Change::Added, new[column]));
            column += 1;
        }
    }
}

/// Without what is the same and far from every change.
fn shorten(all: &[(Change, &str)]) -> Vec<Line> {
    let changes: Vec<usize> = (0..all.len()).filter(|at| all[*at].0 != Change::Same).collect();
    let mut lines = Vec::new();
    let (mut left, mut next) = (0_usize, 0);
    let flush = |left: &mut usize, lines: &mut Vec<Line>| {
        if *left > 0 {
            let text = if *left == 1 { "1 line alike".to_owned() } else { format!("{left} lines alike") };
            lines.push(Line { change: Change::Left, text });
        }
        *left = 0;
    };
    if changes.is_empty() {
        return lines;
    }
    for (at, (change, text)) in all.iter().enumerate() {
        while changes.get(next).is_some_and(|one| one + AROUND < at) {
            next += 1;
        }
        if changes.get(next).is_some_and(|one| one.abs_diff(at) <= AROUND) {
            flush(&mut left, &mut lines);
            lines.push(Line { change: *change, text: (*text).to_owned() });
        } else {
            left += 1;
        }
    }
    flush(&mut left, &mut lines);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, after: &str) -> Vec<String> {
        compare(before, after).into_iter().map(|line| format!("{}{}", line.change.mark(), line.text)).collect()
    }

    #[test]
    fn what_is_the_same_is_nothing() {
        assert!(compare("a\nb", "a\nb").is_empty());
        assert!(compare("", "").is_empty());
    }

    #[test]
    fn a_line_that_changed_is_removed_and_added() {
        assert_eq!(shown("a\nb\nc", "a\nx\nc"), [" a", "−b", "+x", " c"]);
        assert_eq!(shown("a", "a\nb"), [" a", "+b"]);
        assert_eq!(shown("a\nb\na\nb", "b\na\nb\nc"), ["−a", " b", " a", " b", "+c"]);
    }

    #[test]
    fn what_is_far_from_a_change_is_counted() {
        let old: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
        let mut new = old.clone();
        new[9] = "ten".to_owned();
        let shown = shown(&old.join("\n"), &new.join("\n"));
        assert_eq!(shown, ["⋯6 lines alike", " 7", " 8", " 9", "−10", "+ten", " 11", " 12", " 13", "⋯7 lines alike"]);
    }

    #[test]
    fn texts_too_large_to_compare_are_exchanged_whole() {
        let text = |of: &str| (0..2500).map(|n| format!("{of}{n}")).collect::<Vec<_>>().join("\n");
        let lines = compare(&text("a"), &text("b"));
        assert_eq!((lines.len(), lines[0].change, lines[4999].change), (5000, Change::Removed, Change::Added));
    }
}
