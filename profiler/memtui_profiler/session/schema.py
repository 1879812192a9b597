"""The session database: append-only, so that a reader polls by row id and follows a live session like a finished one.

What changes later is a row of its own: a run ends in run_end, a report in report_end, a frame is named in symbol.
Times (``*_s``) are seconds on CLOCK_BOOTTIME since the session began; meta holds the one wall-clock origin. Sizes are bytes.

Keys of meta: ``memtui`` (version), ``started`` (Unix time of second 0, decimal), ``boottime`` (CLOCK_BOOTTIME of second 0),
``utc_offset`` (seconds east of UTC where it was recorded), ``argv`` (JSON list),
``argv.N`` (the same for report N, where that came without its run), ``cwd``, ``host``, ``sample_hz``,
``page_bytes``, ``recorder_pid``, ``request`` (JSON LaunchRequest without the values of the user's --env), ``attached``
(pid of a process that memtui did not start; not there for one that it did).
Files of run N: ``runs/N/output.log`` (raw, the first 16 MiB), then ``output.tail.0`` and ``output.tail.1`` (the ring after
it; memtui_profiler.pty_output.output_files() gives them in order), ``stderr.log``, the dumps.
"""

from __future__ import annotations

APPLICATION_ID = 0x6D656D74  # "memt": what file(1) and a reader tell a session by
USER_VERSION = 2

TABLES = """
CREATE TABLE meta (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, value TEXT NOT NULL
) STRICT;

CREATE TABLE run (                            -- one launch of the target; its number is its id
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, pid INTEGER NOT NULL, executable TEXT NOT NULL,
  argv TEXT NOT NULL,                         -- JSON list
  cwd TEXT NOT NULL, mode TEXT NOT NULL,      -- the checker's mode, 'off' for none
  release_rate REAL,                          -- what memtui or the user's environment set; NULL: nothing
  allocator TEXT NOT NULL,                    -- 'tcmalloc 2.10 preloaded', 'glibc malloc' ...
  environment TEXT NOT NULL,                  -- JSON object of what memtui set
  environment_names TEXT NOT NULL             -- JSON list: the names of all the rest, values stay with the user
) STRICT;

CREATE TABLE run_end (
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER NOT NULL,
  exit_code INTEGER, signal TEXT,             -- one of the two, or neither when it was never learned
  oom_killed INTEGER NOT NULL
) STRICT;

CREATE TABLE run_settled (                    -- every report of the run is in, with its symbols; after run_end, or without
                                              -- one when memtui let go of a process that it had attached to
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER NOT NULL
) STRICT;

CREATE TABLE followed (                       -- the run goes on in another process (a daemon's second fork)
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER NOT NULL, pid INTEGER NOT NULL
) STRICT;

CREATE TABLE sample (                         -- RSS and shared at 10 Hz, what costs more at 1 Hz and NULL between
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER NOT NULL,
  rss_bytes INTEGER NOT NULL, shared_bytes INTEGER NOT NULL,
  anon_bytes INTEGER, file_bytes INTEGER, shmem_bytes INTEGER, swap_bytes INTEGER, peak_rss_bytes INTEGER,
  threads INTEGER, descendants INTEGER, descendants_rss_bytes INTEGER, cgroup_bytes INTEGER,
  in_use_bytes INTEGER, kept_bytes INTEGER    -- the allocator's newest figures; NULL: not asked lately
) STRICT;

CREATE TABLE allocator_sample (               -- what the allocator said of itself, about once a second
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER NOT NULL, allocator TEXT NOT NULL, -- 'tcmalloc', 'glibc malloc' ...
  in_use_bytes INTEGER NOT NULL, free_bytes INTEGER NOT NULL, central_bytes INTEGER NOT NULL, transfer_bytes INTEGER NOT NULL,
  thread_bytes INTEGER NOT NULL, metadata_bytes INTEGER NOT NULL, released_bytes INTEGER NOT NULL,
  release_rate REAL,                          -- as read from the process; NULL: the allocator has none
  cost_s REAL NOT NULL                        -- how long the process took to answer
) STRICT;

CREATE TABLE allocator_detail (               -- size classes, free spans, arenas; seldom
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER NOT NULL, detail TEXT NOT NULL
) STRICT;

CREATE TABLE guest (                          -- how asking the process stands; a row whenever that changes
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER NOT NULL,
  state TEXT NOT NULL,                        -- waiting, ready, busy, refused, off, gone
  allocator TEXT NOT NULL,                    -- the one that answers; '' while not known
  what TEXT NOT NULL, why TEXT NOT NULL, todo TEXT NOT NULL
) STRICT;

CREATE TABLE memory_limit (                   -- a row whenever the tightest limit over the target changes
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER NOT NULL, source TEXT NOT NULL, limit_bytes INTEGER
) STRICT;

CREATE TABLE capability (                     -- what can work on this target, as found before a launch
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL, name TEXT NOT NULL,
  available INTEGER NOT NULL, reason TEXT NOT NULL, remedy TEXT NOT NULL,
  sets TEXT NOT NULL                          -- JSON: environment and command of the next launch with this check mode; or ''
) STRICT;

CREATE TABLE event (
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER, kind TEXT NOT NULL, text TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;

CREATE TABLE report (
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, run INTEGER, pid INTEGER, checker TEXT NOT NULL, mode TEXT NOT NULL,
  origin TEXT NOT NULL,                       -- 'exit', 'live', 'file'
  path TEXT NOT NULL                          -- of the dump, inside the session folder where it can be
) STRICT;

CREATE TABLE report_note (
  id INTEGER PRIMARY KEY, report INTEGER NOT NULL, text TEXT NOT NULL
) STRICT;

CREATE TABLE module (                         -- ordinals count from 0 within a report, so that rows can be made before it has an id
  id INTEGER PRIMARY KEY, report INTEGER NOT NULL, ordinal INTEGER NOT NULL, path TEXT NOT NULL, build_id TEXT NOT NULL
) STRICT;

CREATE TABLE leak_frame (                     -- each address of a report once; leaks name them by ordinal
  id INTEGER PRIMARY KEY, report INTEGER NOT NULL, ordinal INTEGER NOT NULL,
  address TEXT NOT NULL,                      -- hex: SQLite's integers are signed
  module INTEGER, offset TEXT                 -- ordinal of the module; hex
) STRICT;

CREATE TABLE leak (
  id INTEGER PRIMARY KEY, report INTEGER NOT NULL, size_bytes INTEGER NOT NULL, objects INTEGER NOT NULL, kind TEXT NOT NULL,
  stack BLOB NOT NULL                         -- leaf first, ordinals of leak_frame as little-endian unsigned 32-bit
) STRICT;

CREATE TABLE report_facts (                   -- what a report from a file says of its run; NULL: it does not say
  id INTEGER PRIMARY KEY, report INTEGER NOT NULL, checker TEXT NOT NULL, mode TEXT NOT NULL, pid INTEGER,
  argv TEXT NOT NULL,                         -- JSON list
  started TEXT,                               -- ISO 8601 in UTC
  exit_code INTEGER, signal TEXT, oom_killed INTEGER NOT NULL, seconds REAL
) STRICT;

CREATE TABLE checker_error (                  -- what a checker found that is no leak: an invalid read ...
  id INTEGER PRIMARY KEY, report INTEGER NOT NULL, ordinal INTEGER NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL,
  times INTEGER NOT NULL,                     -- how often it was seen
  stack BLOB NOT NULL                         -- as in leak
) STRICT;

CREATE TABLE checker_error_detail (           -- what the checker adds to one: where the block was freed ...
  id INTEGER PRIMARY KEY, report INTEGER NOT NULL, error INTEGER NOT NULL, what TEXT NOT NULL, stack BLOB NOT NULL
) STRICT;

CREATE TABLE report_end (
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, report INTEGER NOT NULL, status TEXT NOT NULL,
  total_bytes INTEGER NOT NULL, total_objects INTEGER NOT NULL
) STRICT;

CREATE TABLE symbol (                         -- arrives after the leak; a later row for the same (frame, depth) knows more and wins
  id INTEGER PRIMARY KEY, report INTEGER NOT NULL, frame INTEGER NOT NULL, -- ordinal of the leak_frame
  depth INTEGER NOT NULL,                     -- 0 is the innermost inlined call
  function TEXT, linkage_name TEXT,
  file TEXT, line INTEGER, inlined INTEGER NOT NULL
) STRICT;

CREATE TABLE symbols_end (                    -- no more symbols will come for this report
  id INTEGER PRIMARY KEY, at_s REAL NOT NULL, report INTEGER NOT NULL
) STRICT;

CREATE TABLE source_line (                    -- what stands around a named line, so that a copied session shows it
  id INTEGER PRIMARY KEY, file TEXT NOT NULL, line INTEGER NOT NULL, text TEXT NOT NULL
) STRICT;

CREATE INDEX leak_of_report ON leak (report);
CREATE INDEX frame_of_report ON leak_frame (report);
CREATE INDEX symbol_of_report ON symbol (report);
CREATE INDEX source_of_file ON source_line (file, line);
"""
