//! Dates for chat templates that name today's.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The first is the day of 1 January 1970.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

const DAY_S: i64 = 86_400;

/// A time (UTC, in seconds since 1970 began) as a result of a tool states it.
pub fn time_of_day(time_s: i64) -> String {
    strftime("%Y-%m-%d %H:%M UTC", time_s).expect("all of these are known")
}

/// Writes a time (UTC, in seconds since 1970 began) as `format` says, in the way of C's `strftime`.
///
/// # Errors
/// The first directive that is none of `%Y %y %m %d %B %b %A %a %j %H %I %M %S %p %%`.
pub(crate) fn strftime(format: &str, time_s: i64) -> Result<String, char> {
    let (day, second) = (time_s.div_euclid(DAY_S), time_s.rem_euclid(DAY_S));
    let (year, month, date) = civil(day);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let month_name = MONTHS[month as usize - 1];
    let day_name = DAYS[day.rem_euclid(7) as usize];

    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            text.push(char);
            continue;
        }
        text += &match chars.next() {
            Some('Y') => format!("{year}"),
            Some('y') => format!("{:02}", year.rem_euclid(100)),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{date:02}"),
            Some('B') => month_name.to_owned(),
            Some('b') => month_name[..3].to_owned(),
            Some('A') => day_name.to_owned(),
            Some('a') => day_name[..3].to_owned(),
            Some('j') => format!("{:03}", day - first_day(year) + 1),
            Some('H') => format!("{hour:02}"),
            Some('I') => format!("{:02}", (hour + 11) % 12 + 1),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{:02}", second % 60),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('%') => "%".to_owned(),
            other => return Err(other.unwrap_or('%')),
        };
    }
    Ok(text)
}

/// The day, counted from 1970, on which a year begins (Gregorian).
fn first_day(year: i64) -> i64 {
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    365 * (year - 1970) + leap_days - 477
}

/// Year, month from 1 and day from 1 of a day counted from 1970.
fn civil(day: i64) -> (i64, i64, i64) {
    // 400 years have 146,097 days; the estimate is wrong by one at most.
    let mut year = 1970 + (day * 400).div_euclid(146_097);
    while first_day(year + 1) <= day {
        year += 1;
    }
    while first_day(year) > day {
        year -= 1;
    }
    let february = 28 + first_day(year + 1) - first_day(year) - 365;
    let mut date = day - first_day(year);
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if date < days {
            break;
        }
        date -= days;
        month += 1;
    }
    (year, month, date + 1)
}

#[cfg(test)]
mod tests {
    use super::strftime;

    #[test]
    fn known_times_are_written() {
        let all = "%Y-%m-%d %H:%M:%S %A %a %B %b %j %y %I %p %%";
        for (time_s, text) in [
            (0, "1970-01-01 00:00:00 Thursday Thu January Jan 001 70 12 AM %"),
            (951_827_696, "2000-02-29 12:34:56 Tuesday Tue February Feb 060 00 12 PM %"),
            (1_735_689_599, "2024-12-31 23:59:59 Tuesday Tue December Dec 366 24 11 PM %"),
            (-1, "1969-12-31 23:59:59 Wednesday Wed December Dec 365 69 11 PM %"),
            (4_107_542_400, "2100-03-01 00:00:00 Monday Mon March Mar 060 00 12 AM %"),
        ] {
            assert_eq!(strftime(all, time_s).as_deref(), Ok(text));
        }
        assert_eq!(strftime("%Q", 0), Err('Q'));
        assert_eq!(strftime("x%", 0), Err('%'));
    }
}
