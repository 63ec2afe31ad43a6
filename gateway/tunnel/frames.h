// The words that the two ends of a tunnel say to each other beside the requests: lines of the
// events stream (agent to gateway) and bodies of the control requests (gateway to agent). One place
// writes and reads them, so that the ends agree. Readers are strict about what they know and ignore
// what they do not: unknown fields are skipped, unknown frame types are named and passed over.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/fleet/fleet.h"

namespace trib::tunnel {

inline constexpr std::size_t line_bytes_max = 64u << 10;  // of an event line, and of a control body
inline constexpr std::size_t offers_max = 4096;           // of a site
inline constexpr std::size_t devices_max = 1024;          // in a hello
inline constexpr int minor_spoken = 0;                    // of the protocol trib-h2r/1

bool valid_id(std::string_view id);  // 1 to 64 of [A-Za-z0-9._-]

enum class FrameType : std::uint8_t {
  hello,
  heartbeat,
  capacity,
  reclaim,
  drain,
  receipt,
  device,
  notice,
  receipts,  // one signed root
  other
};
bool durable(FrameType type);  // kept by the agent until acknowledged

struct Stamp {               // what every frame carries
  std::uint64_t seq = 0;     // counts durable frames; the others repeat the last one
  std::int64_t mono_ms = 0;  // the agent's monotonic clock
  std::int64_t wall_ms = 0;  // for display only
};

struct Hello {
  int minor_min = minor_spoken, minor_max = minor_spoken;
  std::string site, instance_id, boot_id, agent_version, kind;
  std::uint32_t leg = 0;
  std::uint32_t streams_max = 64;
  std::uint64_t body_bytes_max = 16u << 20;
  // The newest checkpoint of the ledger that the site holds (0: none yet), so that the gateway tells what
  // came after it. None: the agent takes no checkpoints.
  std::optional<std::uint64_t> checkpoint;
  // The newest root of receipts that the site has signed (0: none yet). None: the agent tells no receipts.
  std::optional<std::uint64_t> receipts;
  std::vector<fleet::DeviceClaim> devices;  // claims, not facts
};

struct Heartbeat {
  std::uint64_t revision = 0;                      // of the last capacity sent
  std::map<std::string, std::uint32_t> in_flight;  // by offer
};

// One page. A revision is complete when all its pages are there.
struct Capacity {
  std::uint64_t revision = 0;
  bool full = true;  // else only the offers that changed
  std::uint32_t page = 1, pages = 1;
  std::vector<fleet::AgentOffer> offers;  // as read, their leaves_ns count from now
  std::vector<std::string> gone;  // offers of state "gone"
};

struct Reclaim {
  std::string seat, phase;  // "begin", "freed", "kept"
  std::vector<std::string> attempts;
};

// The newest root of receipts that the gateway has on its disk; what follows may be sent. Or why it takes none.
struct ReceiptsHeld {
  std::uint64_t upto = 0;
  std::string refused;  // at most 200 bytes; empty: what follows is taken
};

struct Welcome {
  int minor = minor_spoken;
  std::string gateway, state;
  std::int64_t time_ms = 0;
  std::uint64_t tunnel = 0;
  std::vector<std::string> hosts;
  std::uint32_t heartbeat_s = 5;
};

// Signed checkpoints of the ledger, in order; each is a JSON object as the ledger writes it, not read here.
struct CheckpointPage {
  std::uint64_t last = 0;  // the newest that the gateway has
  std::vector<std::string> checkpoints;
};
inline constexpr std::size_t checkpoints_per_page = 64;  // they fit a control body

// Lines with their line feed. `capacity` is cut into pages that each fit a line.
std::string write(const Hello& hello, const Stamp& stamp);
std::string write(const Heartbeat& heartbeat, const Stamp& stamp);
// `full`: these are all, else those that have changed. An offer's end is told as seconds from the stamp.
std::vector<std::string> write(std::uint64_t revision, const std::vector<fleet::AgentOffer>& offers,
                               const Stamp& stamp, bool full = true);
std::string write(const Reclaim& reclaim, const Stamp& stamp);
// `root`: a JSON object as the ledger writes it, not read here.
std::string write_receipts(std::string_view root, const Stamp& stamp);
// Bodies.
std::string write(const Welcome& welcome);
std::string write_ack(std::uint64_t upto);
std::string write(const CheckpointPage& page);
std::string write(const ReceiptsHeld& held);

// One line without its line feed. False: not such a frame; `why` is static text.
struct Frame {
  FrameType type = FrameType::other;
  Stamp stamp;
};
bool read(std::string_view line, Frame& out, const char*& why);
bool read(std::string_view line, Hello& out, const char*& why);
bool read(std::string_view line, Heartbeat& out, const char*& why);
bool read(std::string_view line, Capacity& out, const char*& why);
bool read(std::string_view line, Reclaim& out, const char*& why);
bool read(std::string_view body, Welcome& out, const char*& why);
bool read(std::string_view body, CheckpointPage& out, const char*& why);
bool read(std::string_view body, ReceiptsHeld& out, const char*& why);
bool read_receipts(std::string_view line, std::string_view& root, const char*& why);  // points into the line
bool read_ack(std::string_view body, std::uint64_t& upto, const char*& why);

}  // namespace trib::tunnel
