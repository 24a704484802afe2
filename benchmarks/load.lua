-- What wrk sends: wrk ... URL -- TOKEN BODY FIRST COUNT STEPS
--
-- BODY names the first step of the first process, p000000-0001. If COUNT is 0, it is sent unchanged,
-- again and again. Otherwise the id is replaced with the ids of STEPS steps in each of COUNT processes,
-- starting with process FIRST. The processes take turns (the first step of each, then the second of
-- each), so a step is STARTED long before its own completion is sent, and no id is sent twice.

local PATH = "/api/v1/processes/complete-step"
local MARKER = "p000000-0001"

function init(args)
  first, count, steps = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  position = 0
  whole = wrk.format("POST", PATH, {
    ["Host"] = wrk.host .. ":" .. wrk.port,
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. args[1],
  }, args[2])
  -- All ids have the same width, so requests differ in the id only.
  local from, to = string.find(whole, MARKER, 1, true)
  before, after = string.sub(whole, 1, from - 1), string.sub(whole, to + 1)
end

function request()
  if count == 0 or not inspected then
    inspected = true -- wrk calls this once to inspect the request, which it does not send
    return whole
  end
  local process, step = first + position % count, math.floor(position / count) + 1
  if step > steps then
    wrk.thread:stop()
  end
  position = position + 1
  return string.format("%sp%06d-%04d%s", before, process, step, after)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
