// What the process's threads are called and how urgent they are.
#pragma once

namespace trib {

// Names the calling thread, as `top -H` shows it; at most 15 bytes.
void name_thread(const char* name);

// Likewise, of a thread that nobody waits for at this moment: where processors are short, those that serve come first
// (5 steps of nice below the process: still a quarter of a processor that one of them keeps busy). Best effort.
void name_background_thread(const char* name);

}  // namespace trib
