"""What is asked of a running process: functions of a conversation (memtui_profiler.asker), each raising UserError."""
