// What the process's threads are called and how urgent they are.
#pragma once

namespace trib {

// Names the calling thread, as `top -H` shows it; at most 15 bytes.
void name_thread(const char* name);

// Likewise, of a thread that nobody waits for at this moment: where processors are short, those that serve come first
// (5 steps of nice below the process: still a quarter of a processor that one of them keeps busy). Best effort.
void name_background_thread(const char* name);

// Called by long work after each of its small pieces (some microseconds). On a background thread it lets others have the
// processor about each 50 us: a scheduler without a fine timer else leaves it with whoever is at it for a whole tick, 4 ms
// at 250 Hz, however urgent those are who wait. On any other thread it does nothing.
void give_way();

bool in_background();  // is the calling thread a background thread?

}  // namespace trib
