-- What each connection of wrk sends to a server, and what it counts of the answers.
--
-- wrk -s benchmarks/storm.lua URL -- FOLDER PATH [BATCH]: FOLDER has clips 1.wav, 2.wav and so on,
-- and labels.txt with the right label of each on a line, in their order. The name of a file that is
-- sent has its number and the time, and comes back with the answer. Asks again at once, whatever
-- comes. With BATCH, a file of the body to send instead, nothing is checked.

local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long micros; } moment;
  int gettimeofday(moment *now, void *zone);
]])
local moment = ffi.new("moment")

local function now()
  ffi.C.gettimeofday(moment, nil)
  return tonumber(moment.seconds) + tonumber(moment.micros) / 1e6
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  clips, labels = {}, {}
  for label in io.lines(args[1] .. "/labels.txt") do
    table.insert(labels, label)
    table.insert(clips, read(args[1] .. "/" .. #labels .. ".wav"))
  end
  path = args[2]
  batch = args[3] and read(args[3])
  headers = { ["Content-Type"] = "multipart/form-data; boundary=clip" }
  math.randomseed(1)
  right, wrong, refused, others, waits, times = 0, 0, 0, 0, {}, {}
end

function request()
  if batch then
    return wrk.format("POST", path, headers, batch)
  end
  local i = math.random(#clips)
  local name = string.format("%d_%.6f.wav", i, now())
  local head = '--clip\r\nContent-Disposition: form-data; name="file"; filename="' .. name
  local body = head .. '"\r\n\r\n' .. clips[i] .. "\r\n--clip--\r\n"
  return wrk.format("POST", path, headers, body)
end

function response(status, _, body)
  if status == 503 then
    refused = refused + 1
    return
  end
  if status ~= 200 then
    others = others + 1
    return
  end
  if batch then
    right = right + 1
    return
  end
  local i, sent = body:match('"file": ?"(%d+)_([%d.]+)%.wav"')
  local label = body:match('"label": ?"([^"]*)"')
  local guess = body:match('"guess": ?"([^"]*)"')
  if i and (guess or label) == labels[tonumber(i)] then
    right = right + 1
    local at = now()
    table.insert(waits, at - tonumber(sent))
    table.insert(times, at)
  else
    wrong = wrong + 1
  end
end

function done(summary)
  local all_waits, all_times = {}, {}
  local counts = { right = 0, wrong = 0, refused = 0, others = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(counts) do
      counts[name] = counts[name] + thread:get(name)
    end
    local waits, times = thread:get("waits"), thread:get("times")
    for i, wait in ipairs(waits) do
      table.insert(all_waits, string.format("%.4f", wait))
      table.insert(all_times, string.format("%.3f", times[i]))
    end
  end
  local lost = summary.errors.read + summary.errors.write + summary.errors.connect
  local line = '{"right": %d, "wrong": %d, "refused": %d, "others": %d, "lost": %d, '
  line = line .. '"unanswered": %d, "seconds": %.3f, "waits": [%s], "times": [%s]}\n'
  io.write("result ", string.format(line, counts.right, counts.wrong, counts.refused,
    counts.others, lost, summary.errors.timeout, summary.duration / 1e6,
    table.concat(all_waits, ","), table.concat(all_times, ",")))
end
