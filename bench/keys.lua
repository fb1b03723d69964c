-- For wrk: every request carries a key drawn at random from the file named behind `--`, so that the server's caches see what they would see
-- in life. Ends with one line that a script can read.

local requests = {}

function init(arguments)
    for key in io.lines(arguments[1]) do
        requests[#requests + 1] = wrk.format("GET", "/v1/me", { ["Host"] = "127.0.0.1", ["Authorization"] = "Bearer " .. key })
    end
    math.randomseed(os.time())
end

function request()
    return requests[math.random(#requests)]
end

function done(summary, latency, _)
    local errors = summary.errors
    local socket = errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format("RESULT requests=%d microseconds=%d p50=%d p99=%d status_errors=%d socket_errors=%d\n",
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status, socket))
end
