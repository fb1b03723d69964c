//! What keys were used for, by day and by hour.

use super::{Statement, counted, statements};

/// A row of [`COUNT_REQUESTS`]; PostgreSQL wants to be told the types.
macro_rules! counted_row {
    ($workspace:literal, $environment:literal, $key:literal, $time:literal, $requests:literal, $refused:literal) => {
        concat!(
            "(CAST($",
            $workspace,
            " AS TEXT), CAST($",
            $environment,
            " AS TEXT), CAST($",
            $key,
            " AS TEXT), CAST($",
            $time,
            " AS BIGINT), CAST($",
            $requests,
            " AS BIGINT), CAST($",
            $refused,
            " AS BIGINT))"
        )
    };
}

/// Many at once, each once: of `$what`, which `$unique` tells apart, and a time. Rows that are not needed name no
/// workspace.
macro_rules! count_into {
    ($table:literal, $what:literal, $unique:literal, $time:literal) => {
        concat!(
            "WITH counted (workspace_id, environment, key_id, at, requests, refused) AS (VALUES ",
            counted_row!(1, 2, 3, 4, 5, 6),
            ", ",
            counted_row!(7, 8, 9, 10, 11, 12),
            ", ",
            counted_row!(13, 14, 15, 16, 17, 18),
            ", ",
            counted_row!(19, 20, 21, 22, 23, 24),
            ", ",
            counted_row!(25, 26, 27, 28, 29, 30),
            ", ",
            counted_row!(31, 32, 33, 34, 35, 36),
            ", ",
            counted_row!(37, 38, 39, 40, 41, 42),
            ", ",
            counted_row!(43, 44, 45, 46, 47, 48),
            ", ",
            counted_row!(49, 50, 51, 52, 53, 54),
            ", ",
            counted_row!(55, 56, 57, 58, 59, 60),
            ", ",
            counted_row!(61, 62, 63, 64, 65, 66),
            ", ",
            counted_row!(67, 68, 69, 70, 71, 72),
            ", ",
            counted_row!(73, 74, 75, 76, 77, 78),
            ", ",
            counted_row!(79, 80, 81, 82, 83, 84),
            ", ",
            counted_row!(85, 86, 87, 88, 89, 90),
            ", ",
            counted_row!(91, 92, 93, 94, 95, 96),
            ") INSERT INTO ",
            $table,
            " (",
            $what,
            ", ",
            $time,
            ", requests, refused)
            SELECT ",
            $what,
            ", at, requests, refused FROM counted WHERE workspace_id <> ''
            ON CONFLICT (",
            $unique,
            ", ",
            $time,
            ") DO UPDATE SET requests = ",
            $table,
            ".requests + excluded.requests, refused = ",
            $table,
            ".refused + excluded.refused"
        )
    };
}

/// Rows of one [`COUNT_REQUESTS`].
pub(crate) const COUNTED_ROWS: usize = 16;
/// Keys of one [`HOURS`].
pub(crate) const KEYS_OF_HOURS: usize = 25;

/// Of one environment, from a day to a day.
macro_rules! of_days {
    () => {
        " FROM key_usage WHERE workspace_id = $1 AND environment = $2 AND day >= $3 AND day <= $4 "
    };
}

/// The days of each key added up, with how many keys there are, so that it is done once.
macro_rules! summed {
    ($which:literal) => {
        concat!(
            "SELECT key_id, CAST(SUM(requests) AS BIGINT) AS requests, CAST(SUM(refused) AS BIGINT) AS refused,
            COUNT(*) OVER () AS total",
            of_days!(),
            $which,
            "GROUP BY key_id ORDER BY 2 DESC, key_id LIMIT $5 OFFSET $6"
        )
    };
}

statements! {
    COUNT_REQUESTS "count_requests"
        count_into!("key_usage", "workspace_id, environment, key_id", "workspace_id, key_id", "day");
    COUNT_HOURS "count_hours"
        count_into!("key_usage_hours", "workspace_id, environment, key_id", "workspace_id, key_id", "hour");
    COUNT_MONTHS "count_months"
        count_into!("key_usage_months", "workspace_id, environment, key_id", "workspace_id, key_id", "month");
    COUNT_DAYS "count_days"
        count_into!("usage_days", "workspace_id, environment", "workspace_id, environment", "day");
    /// Of [`KEYS_OF_HOURS`] keys; those that are not needed are empty.
    HOURS "usage_hours"
        "SELECT key_id, hour, requests, refused FROM key_usage_hours
        WHERE workspace_id = $1 AND environment IN ($2, $3) AND hour >= $4 AND hour <= $5
            AND key_id IN ($6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
                $25, $26, $27, $28, $29, $30)";
    REQUESTS_OF_DAY "requests_of_day"
        "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) AS total FROM key_usage
        WHERE workspace_id = $1 AND key_id = $2 AND day = $3";
    USAGE "usage" concat!(
        "SELECT day, key_id, requests, refused", of_days!(), "ORDER BY day DESC, key_id DESC LIMIT $5 OFFSET $6"
    );
    USAGE_OF_KEY "usage_of_key" concat!(
        "SELECT day, key_id, requests, refused", of_days!(), "AND key_id = $7 ORDER BY day DESC LIMIT $5 OFFSET $6"
    );
    USAGE_COUNT "usage_count" counted!(of_days!());
    USAGE_COUNT_OF_KEY "usage_count_of_key" counted!(concat!(of_days!(), "AND key_id = $5"));
    USAGE_BY_KEY "usage_by_key" summed!("");
    USAGE_BY_KEY_OF_KEY "usage_by_key_of_key" summed!("AND key_id = $7 ");
    USAGE_BY_KEY_COUNT "usage_by_key_count" concat!("SELECT COUNT(DISTINCT key_id) AS total", of_days!());
    USAGE_BY_KEY_COUNT_OF_KEY "usage_by_key_count_of_key"
        concat!("SELECT COUNT(DISTINCT key_id) AS total", of_days!(), "AND key_id = $5");
    /// Of one day, in the order of an index.
    USAGE_BY_KEY_OF_DAY "usage_by_key_of_day"
        "SELECT key_id, requests, refused FROM key_usage WHERE workspace_id = $1 AND environment = $2 AND day = $3
        ORDER BY requests DESC, key_id LIMIT $4 OFFSET $5";
    USAGE_BY_KEY_OF_DAY_COUNT "usage_by_key_of_day_count"
        counted!("FROM key_usage WHERE workspace_id = $1 AND environment = $2 AND day = $3");
    /// Of one month, likewise.
    USAGE_BY_KEY_OF_MONTH "usage_by_key_of_month"
        "SELECT key_id, requests, refused FROM key_usage_months
        WHERE workspace_id = $1 AND environment = $2 AND month = $3
        ORDER BY requests DESC, key_id LIMIT $4 OFFSET $5";
    USAGE_BY_KEY_OF_MONTH_COUNT "usage_by_key_of_month_count"
        counted!("FROM key_usage_months WHERE workspace_id = $1 AND environment = $2 AND month = $3");
    USAGE_BY_DAY "usage_by_day"
        "SELECT day, requests, refused FROM usage_days
        WHERE workspace_id = $1 AND environment = $2 AND day >= $3 AND day <= $4
        ORDER BY day DESC LIMIT $5 OFFSET $6";
    USAGE_BY_DAY_COUNT "usage_by_day_count"
        counted!("FROM usage_days WHERE workspace_id = $1 AND environment = $2 AND day >= $3 AND day <= $4");
    /// By the workspaces' index on days: nothing is read that stays.
    SWEEP_USAGE "sweep_usage"
        "DELETE FROM key_usage WHERE workspace_id IN (SELECT id FROM workspaces) AND day < $1";
    SWEEP_DAYS "sweep_usage_days" "DELETE FROM usage_days WHERE day < $1";
    /// A month goes with its first day.
    SWEEP_MONTHS "sweep_usage_months" "DELETE FROM key_usage_months WHERE month < $1";
    /// By the index on hours.
    SWEEP_HOURS "sweep_usage_hours" "DELETE FROM key_usage_hours WHERE hour < $1";
}
