//! Agent loops, their executions and steps: strictly of one environment, `$2`.

use super::{Statement, counted, statements};

macro_rules! loop_columns {
    () => {
        "id, bot_id, name, description, prompt, tools, max_iterations, timeout_seconds, webhook_id,
            (SELECT url FROM webhooks WHERE workspace_id = $1 AND environment = $2 AND id = agent_loops.webhook_id)
                AS callback_url, created_at, updated_at"
    };
}

macro_rules! execution_columns {
    () => {
        "id, loop_id, status, input, metadata, state, output, error, iterations, input_tokens, output_tokens, started_by,
            created_at, updated_at, started_at, finished_at"
    };
}

statements! {
    INSERT_AGENT_LOOP "insert_agent_loop"
        "INSERT INTO agent_loops (workspace_id, environment, id, bot_id, name, description, prompt, tools,
            max_iterations, timeout_seconds, webhook_id, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)";
    AGENT_LOOP "agent_loop" concat!(
        "SELECT ", loop_columns!(), " FROM agent_loops WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    /// Without their prompts and tools.
    AGENT_LOOPS "agent_loops"
        "SELECT id, bot_id, name, description, '' AS prompt, '[]' AS tools, max_iterations, timeout_seconds, webhook_id,
            (SELECT url FROM webhooks WHERE workspace_id = $1 AND environment = $2 AND id = agent_loops.webhook_id)
                AS callback_url, created_at, updated_at
        FROM agent_loops WHERE workspace_id = $1 AND environment = $2 ORDER BY id DESC LIMIT $3 OFFSET $4";
    AGENT_LOOP_COUNT "agent_loop_count"
        "SELECT COUNT(*) AS total FROM agent_loops WHERE workspace_id = $1 AND environment = $2";
    UPDATE_AGENT_LOOP "update_agent_loop"
        "UPDATE agent_loops SET bot_id = $4, name = $5, description = $6, prompt = $7, tools = $8, max_iterations = $9,
            timeout_seconds = $10, webhook_id = $11, updated_at = $12
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    DELETE_AGENT_LOOP "delete_agent_loop"
        "DELETE FROM agent_loops WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    /// Which of them have a tool with this connection: their definitions name it.
    AGENT_LOOPS_OF_CONNECTION "agent_loops_of_connection"
        "SELECT COUNT(*) AS total FROM agent_loops
        WHERE workspace_id = $1 AND environment = $2 AND tools LIKE '%' || $3 || '%'";

    INSERT_EXECUTION "insert_execution"
        "INSERT INTO executions (workspace_id, environment, id, loop_id, status, input, metadata, state, iterations,
            input_tokens, output_tokens, started_by, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, $9, $10, $10)";
    EXECUTION "execution" concat!(
        "SELECT ", execution_columns!(),
        " FROM executions WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    /// Without what they run and what they were told.
    EXECUTIONS_OF_LOOP "executions_of_loop"
        "SELECT id, loop_id, status, 'null' AS input, metadata, '{}' AS state,
            SUBSTR(output, 1, 1000) AS output, error, iterations, input_tokens,
            output_tokens, started_by, created_at, updated_at, started_at, finished_at
        FROM executions WHERE workspace_id = $1 AND environment = $2 AND loop_id = $5
        ORDER BY id DESC LIMIT $3 OFFSET $4";
    EXECUTION_COUNT "execution_count"
        counted!("FROM executions WHERE workspace_id = $1 AND environment = $2 AND loop_id = $3");
    OPEN_EXECUTION_COUNT "open_execution_count"
        "SELECT COUNT(*) AS total FROM executions
        WHERE workspace_id = $1 AND environment = $2 AND finished_at IS NULL";
    OPEN_EXECUTIONS_OF_LOOP "open_executions_of_loop"
        "SELECT id FROM executions
        WHERE workspace_id = $1 AND environment = $2 AND loop_id = $3 AND finished_at IS NULL ORDER BY id LIMIT $4";
    /// Tenants take turns: one that has many keeps nobody waiting.
    OPEN_EXECUTIONS "open_executions"
        "SELECT workspace_id, environment, id FROM (
            SELECT workspace_id, environment, id, ROW_NUMBER() OVER (
                PARTITION BY workspace_id, environment ORDER BY id) AS place
            FROM executions WHERE finished_at IS NULL) AS due
        WHERE place <= $1 ORDER BY place, id LIMIT $2";
    /// Takes a step of one that is not over: nothing is added to what has ended.
    ADVANCE_EXECUTION "advance_execution"
        "UPDATE executions SET status = 'running', iterations = iterations + $4, input_tokens = input_tokens + $5,
            output_tokens = output_tokens + $6, started_at = COALESCE(started_at, $7), updated_at = $7
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND finished_at IS NULL";
    FINISH_EXECUTION "finish_execution" concat!(
        "UPDATE executions SET status = $4, output = $5, error = $6, updated_at = $7, finished_at = $7
        WHERE workspace_id = $1 AND environment = $2 AND id = $3 AND finished_at IS NULL RETURNING ",
        execution_columns!()
    );
    INSERT_EXECUTION_STEP "insert_execution_step"
        "INSERT INTO execution_steps (workspace_id, environment, execution_id, position, kind, data, took_ms, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    EXECUTION_STEPS "execution_steps"
        "SELECT position, kind, data, took_ms, created_at FROM execution_steps
        WHERE workspace_id = $1 AND environment = $2 AND execution_id = $3 ORDER BY position LIMIT $4";
}
