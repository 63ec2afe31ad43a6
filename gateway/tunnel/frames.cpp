#include "gateway/tunnel/frames.h"

#include <algorithm>
#include <optional>

#include "gateway/base/json.h"

namespace trib::tunnel {
namespace {

constexpr json::Limits limits{16, true};
constexpr std::size_t text_bytes_max = 256;
constexpr std::int64_t any_number = INT64_MAX;
constexpr std::int64_t small_number = 1'000'000;
constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t until_s_max = 10'000'000;

// ---- writing ---------------------------------------------------------------------------------

// Members of one object, in the order they are put.
class Object {
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  void text(std::string_view key, std::string_view value) {
    name(key);
    json::quote(value, out_);
  }
  void text_unless_empty(std::string_view key, std::string_view value) {
    if (!value.empty()) text(key, value);
  }
  template <class Integer>
  void number(std::string_view key, Integer value) {
    name(key);
    out_ += std::to_string(value);
  }
  void boolean(std::string_view key, bool value) {
    name(key);
    out_ += value ? "true" : "false";
  }
  // `write_one` appends one element.
  template <class List, class WriteOne>
  void list(std::string_view key, const List& values, WriteOne write_one) {
    name(key);
    out_ += '[';
    bool first = true;
    for (const auto& value : values) {
      if (!first) out_ += ',';
      first = false;
      write_one(value);
    }
    out_ += ']';
  }
  void texts(std::string_view key, const std::vector<std::string>& values) {
    list(key, values, [this](const std::string& value) { json::quote(value, out_); });
  }
  void name(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    json::quote(key, out_);
    out_ += ':';
  }
  void end() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

Object begin_frame(std::string& out, std::string_view type, const Stamp& stamp) {
  Object o(out);
  o.text("t", type);
  o.number("seq", stamp.seq);
  o.number("mono_ms", stamp.mono_ms);
  o.number("wall_ms", stamp.wall_ms);
  return o;
}

std::string end_frame(Object& o, std::string& out) {
  o.end();
  out += '\n';
  return std::move(out);
}

void write_device(std::string& out, const fleet::DeviceClaim& d) {
  Object o(out);
  o.text("device", d.key);
  o.text_unless_empty("vendor", d.vendor);
  o.text_unless_empty("name", d.name);
  o.text_unless_empty("driver", d.driver);
  o.number("memory_bytes", d.memory_bytes);
  o.text_unless_empty("plugin", d.plugin);
  o.end();
}

// Only what is not the default: a field that is missing is a capability that is absent.
void write_capabilities(Object& o, const fleet::Capabilities& can) {
  const fleet::Capabilities absent;
  const auto word = [&](std::string_view key, auto value, auto unless) {
    if (value != unless) o.text(key, name(value));
  };
  const auto flag = [&](std::string_view key, bool value) {
    if (value) o.boolean(key, true);
  };
  word("token_input", can.token_input, absent.token_input);
  word("continue_mode", can.continue_mode, absent.continue_mode);
  word("template_access", can.template_access, absent.template_access);
  word("length_field", can.length_field, absent.length_field);
  word("unknown_fields", can.unknown_fields, absent.unknown_fields);
  word("cancel", can.cancel, absent.cancel);
  word("metrics", can.metrics, absent.metrics);
  word("error_shape", can.error_shape, absent.error_shape);
  flag("usage_probed", can.usage_probed);
  flag("continue_probed", can.continue_probed);
  flag("length_probed", can.length_probed);
  flag("tools", can.tools);
  flag("grammar", can.grammar);
  flag("logprobs", can.logprobs);
  flag("seed", can.seed);
  flag("n_gt_1", can.n_gt_1);
}

// What cannot be told in the protocol's range is told as its end.
void write_moment(Object& o, const fleet::AgentOffer& a, std::int64_t mono_ms) {
  const auto figure = [&](std::string_view key, const std::optional<std::uint32_t>& value) {
    if (value) o.number(key, std::min<std::int64_t>(*value, small_number));
  };
  figure("running", a.figures.running);
  figure("waiting", a.figures.waiting);
  figure("kv_use_ppm", a.figures.kv_use_ppm);
  if (a.leaves_ns != 0) o.number("until_s", std::clamp<std::int64_t>(a.leaves_ns / second_ns - mono_ms / 1000, 1, until_s_max));
}

void write_offer(std::string& out, const fleet::AgentOffer& a, std::int64_t mono_ms) {
  Object o(out);
  o.text("offer", a.id);
  o.text("state", "ready");
  o.text("model", a.model);
  o.text_unless_empty("engine_model", a.engine_model);
  o.text_unless_empty("seat", a.seat);
  o.list("devices", std::vector<std::string>(a.device.empty() ? 0 : 1, a.device),
         [&](const std::string& d) { json::quote(d, out); });
  o.text_unless_empty("vendor", a.vendor);
  o.number("slots", a.slots);
  o.text_unless_empty("engine", a.can.engine);
  o.text_unless_empty("engine_version", a.can.version);
  o.text("dialect", a.can.dialect);
  o.boolean("usage_in_stream", a.can.usage_in_stream);
  if (a.can.context != 0) o.number("ctx_max", a.can.context);
  if (a.can.slots != 0) o.number("engine_slots", a.can.slots);
  write_capabilities(o, a.can);
  write_moment(o, a, mono_ms);
  o.end();
}

// ---- reading ---------------------------------------------------------------------------------

// Calls `take(key)` for each member; it reads the value and returns true, or leaves it.
template <class Take>
void members(json::Cursor& c, Take take) {
  if (!c.enter_object()) return;
  std::string_view key;
  while (c.next_key(key)) {
    if (!take(key)) c.skip();
  }
}

template <class Take>
void elements(json::Cursor& c, Take take) {
  if (!c.enter_array()) return;
  while (c.next_element()) take();
}

// The whole text is one object whose members `take` wants; what is wrong with a value is noted by
// the takers in `bad`.
class Reader {
 public:
  explicit Reader(std::string_view text) : cursor(text, limits) {}
  json::Cursor cursor;
  const char* bad = nullptr;

  bool text(std::string& out) {
    if (cursor.read_string(out) && out.size() > text_bytes_max)
      bad = "a text of more than 256 bytes";
    return true;
  }
  bool id(std::string& out) {
    if (cursor.read_string(out) && !valid_id(out))
      bad = "an id that is not 1 to 64 of [A-Za-z0-9._-]";
    return true;
  }
  template <class Integer>
  bool number(Integer& out, std::int64_t min, std::int64_t max) {
    std::int64_t value = 0;
    if (!cursor.read_integer(value)) return true;
    if (value < min || value > max) {
      bad = "a number out of its range";
    } else {
      out = static_cast<Integer>(value);
    }
    return true;
  }
  bool boolean(bool& out) {
    cursor.read_bool(out);
    return true;
  }
  bool texts(std::vector<std::string>& out, std::size_t max) {
    elements(cursor, [&] {
      std::string value;
      text(value);
      if (out.size() < max) {
        out.push_back(std::move(value));
      } else {
        bad = "a list that is too long";
      }
    });
    return true;
  }

  template <class Take>
  bool all(Take take, const char*& why) {
    if (cursor.peek() != json::Type::object) {
      why = "not an object";
      return false;
    }
    members(cursor, take);
    if (!cursor.finish()) {
      why = cursor.error() != nullptr ? cursor.error() : "bytes after the object";
      return false;
    }
    why = bad;
    return bad == nullptr;
  }
};

FrameType type_of(std::string_view t) {
  static constexpr std::string_view names[] = {"hello", "heartbeat", "capacity", "reclaim",
                                               "drain", "receipt",   "device",   "notice",   "receipts"};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (t == names[i]) return static_cast<FrameType>(i);
  }
  return FrameType::other;
}

fleet::DeviceClaim read_device(Reader& r) {
  fleet::DeviceClaim d;
  members(r.cursor, [&](std::string_view key) {
    if (key == "device") return r.text(d.key);
    if (key == "vendor") return r.text(d.vendor);
    if (key == "name") return r.text(d.name);
    if (key == "driver") return r.text(d.driver);
    if (key == "memory_bytes") return r.number(d.memory_bytes, 0, any_number);
    if (key == "plugin") return r.text(d.plugin);
    return false;
  });
  return d;
}

// A word that is not known here is a newer agent's: the capability is absent.
bool read_capability(Reader& r, std::string_view key, fleet::Capabilities& can) {
  const auto word = [&r](auto& value) {
    std::string text;
    r.text(text);
    parse(text, value);
    return true;
  };
  if (key == "token_input") return word(can.token_input);
  if (key == "continue_mode") return word(can.continue_mode);
  if (key == "template_access") return word(can.template_access);
  if (key == "length_field") return word(can.length_field);
  if (key == "unknown_fields") return word(can.unknown_fields);
  if (key == "cancel") return word(can.cancel);
  if (key == "metrics") return word(can.metrics);
  if (key == "error_shape") return word(can.error_shape);
  if (key == "usage_probed") return r.boolean(can.usage_probed);
  if (key == "continue_probed") return r.boolean(can.continue_probed);
  if (key == "length_probed") return r.boolean(can.length_probed);
  if (key == "tools") return r.boolean(can.tools);
  if (key == "grammar") return r.boolean(can.grammar);
  if (key == "logprobs") return r.boolean(can.logprobs);
  if (key == "seed") return r.boolean(can.seed);
  if (key == "n_gt_1") return r.boolean(can.n_gt_1);
  return false;
}

void read_offer(Reader& r, Capacity& out) {
  fleet::AgentOffer a;
  std::string state = "ready";
  std::vector<std::string> devices;
  std::int64_t until_s = 0;
  const auto figure = [&](std::optional<std::uint32_t>& to) { return r.number(to.emplace(), 0, small_number); };
  members(r.cursor, [&](std::string_view key) {
    if (key == "offer") return r.id(a.id);
    if (key == "state") return r.text(state);
    if (key == "model") return r.text(a.model);
    if (key == "engine_model") return r.text(a.engine_model);
    if (key == "seat") return r.text(a.seat);
    if (key == "devices") return r.texts(devices, 64);
    if (key == "vendor") return r.text(a.vendor);
    if (key == "slots") return r.number(a.slots, 0, 65'535);
    if (key == "engine") return r.text(a.can.engine);
    if (key == "engine_version") return r.text(a.can.version);
    if (key == "dialect") return r.text(a.can.dialect);
    if (key == "usage_in_stream") return r.boolean(a.can.usage_in_stream);
    if (key == "ctx_max") return r.number(a.can.context, 0, INT32_MAX);
    if (key == "engine_slots") return r.number(a.can.slots, 0, 65'535);
    if (key == "running") return figure(a.figures.running);
    if (key == "waiting") return figure(a.figures.waiting);
    if (key == "kv_use_ppm") return figure(a.figures.kv_use_ppm);
    if (key == "until_s") return r.number(until_s, 0, until_s_max);
    return read_capability(r, key, a.can);
  });
  a.leaves_ns = until_s * second_ns;
  if (!r.cursor.ok()) return;
  if (a.id.empty()) r.bad = "an offer without an id";
  if (!devices.empty()) a.device = std::move(devices.front());
  if (state == "gone") {
    out.gone.push_back(std::move(a.id));
  } else if (state == "ready" && a.slots > 0) {  // any other state takes no work now
    if (a.model.empty()) r.bad = "an offer without a model";
    if (a.engine_model.empty()) a.engine_model = a.model;
    out.offers.push_back(std::move(a));
  } else {
    out.gone.push_back(std::move(a.id));
  }
}

}  // namespace

bool valid_id(std::string_view id) {
  if (id.empty() || id.size() > 64) return false;
  for (const char c : id) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
    if (!ok) return false;
  }
  return true;
}

bool durable(FrameType type) {
  switch (type) {
    case FrameType::reclaim:
    case FrameType::drain:
    case FrameType::receipt:
    case FrameType::device:
    case FrameType::notice:
      return true;
    default:
      return false;
  }
}

std::string write(const Hello& h, const Stamp& stamp) {
  std::string out;
  Object o = begin_frame(out, "hello", stamp);
  o.number("minor_min", h.minor_min);
  o.number("minor_max", h.minor_max);
  o.text("site", h.site);
  o.text("instance_id", h.instance_id);
  o.number("leg", h.leg);
  o.text_unless_empty("boot_id", h.boot_id);
  o.text("agent_version", h.agent_version);
  o.text_unless_empty("kind", h.kind);
  o.number("max_streams", h.streams_max);
  o.number("max_body", h.body_bytes_max);
  if (h.checkpoint) o.number("checkpoint", *h.checkpoint);
  if (h.receipts) o.number("receipts", *h.receipts);
  // A line has a bound; the devices that do not fit are not claimed.
  std::string devices;
  for (const auto& d : h.devices) {
    std::string one;
    write_device(one, d);
    if (out.size() + devices.size() + one.size() + 64 > line_bytes_max) break;
    if (!devices.empty()) devices += ',';
    devices += one;
  }
  o.name("devices");
  out += '[' + devices + ']';
  return end_frame(o, out);
}

std::string write(const Heartbeat& h, const Stamp& stamp) {
  std::string out;
  Object o = begin_frame(out, "heartbeat", stamp);
  o.number("rev", h.revision);
  o.name("inflight");
  Object by_offer(out);
  for (const auto& [offer, n] : h.in_flight) {
    if (out.size() > 4000) break;  // a heartbeat has 4 KiB
    by_offer.number(offer, n);
  }
  by_offer.end();
  return end_frame(o, out);
}

std::vector<std::string> write(std::uint64_t revision, const std::vector<fleet::AgentOffer>& offers,
                               const Stamp& stamp, bool full) {
  std::vector<std::string> pages(1);  // the offers of each, without brackets
  for (const auto& offer : offers) {
    std::string one;
    write_offer(one, offer, stamp.mono_ms);
    if (pages.back().size() + one.size() + 512 > line_bytes_max) pages.emplace_back();
    if (!pages.back().empty()) pages.back() += ',';
    pages.back() += one;
  }
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    std::string out;
    Object o = begin_frame(out, "capacity", stamp);
    o.number("rev", revision);
    o.boolean("full", full);
    o.number("page", i + 1);
    o.number("pages", pages.size());
    o.name("offers");
    out += '[' + pages[i] + ']';
    lines.push_back(end_frame(o, out));
  }
  return lines;
}

std::string write(const Reclaim& r, const Stamp& stamp) {
  std::string out;
  Object o = begin_frame(out, "reclaim", stamp);
  o.text("seat", r.seat);
  o.text("phase", r.phase);
  o.texts("attempts", r.attempts);
  return end_frame(o, out);
}

std::string write(const Welcome& w) {
  std::string out;
  Object o(out);
  o.number("minor", w.minor);
  o.text("gateway", w.gateway);
  o.number("time_ms", w.time_ms);
  o.number("tunnel", w.tunnel);
  o.texts("hosts", w.hosts);
  o.number("heartbeat_s", w.heartbeat_s);
  o.text("state", w.state);
  o.end();
  return out;
}

std::string write_ack(std::uint64_t upto) {
  return "{\"upto\":" + std::to_string(upto) + "}";
}

std::string write(const CheckpointPage& page) {
  std::string out;
  Object o(out);
  o.number("last", page.last);
  o.list("checkpoints", page.checkpoints, [&](const std::string& one) { out += one; });
  o.end();
  return out;
}

std::string write_receipts(std::string_view root, const Stamp& stamp) {
  std::string out;
  Object o = begin_frame(out, "receipts", stamp);
  o.name("signed");
  out += root;
  return end_frame(o, out);
}

std::string write(const ReceiptsHeld& held) {
  std::string out;
  Object o(out);
  o.number("upto", held.upto);
  o.text_unless_empty("refused", std::string_view(held.refused).substr(0, 200));
  o.end();
  return out;
}

bool read(std::string_view line, Frame& out, const char*& why) {
  Reader r(line);
  std::string type;
  const bool ok = r.all(
      [&](std::string_view key) {
        if (key == "t") return r.text(type);
        if (key == "seq") return r.number(out.stamp.seq, 0, any_number);
        if (key == "mono_ms") return r.number(out.stamp.mono_ms, 0, any_number);
        if (key == "wall_ms") return r.number(out.stamp.wall_ms, INT64_MIN, any_number);
        return false;
      },
      why);
  if (ok && type.empty()) {
    why = "a frame without a type";
    return false;
  }
  out.type = type_of(type);
  return ok;
}

bool read(std::string_view line, Hello& out, const char*& why) {
  Reader r(line);
  const bool ok = r.all(
      [&](std::string_view key) {
        if (key == "minor_min") return r.number(out.minor_min, 0, small_number);
        if (key == "minor_max") return r.number(out.minor_max, 0, small_number);
        if (key == "site") return r.id(out.site);
        if (key == "instance_id") return r.id(out.instance_id);
        if (key == "boot_id") return r.id(out.boot_id);
        if (key == "agent_version") return r.text(out.agent_version);
        if (key == "kind") return r.text(out.kind);
        if (key == "leg") return r.number(out.leg, 0, 3);
        if (key == "max_streams") return r.number(out.streams_max, 1, small_number);
        if (key == "checkpoint") return r.number(out.checkpoint.emplace(), 0, any_number);
        if (key == "receipts") return r.number(out.receipts.emplace(), 0, any_number);
        if (key == "max_body") return r.number(out.body_bytes_max, 0, any_number);
        if (key == "devices") {
          elements(r.cursor, [&] {
            auto device = read_device(r);
            if (out.devices.size() < devices_max) {
              out.devices.push_back(std::move(device));
            } else {
              r.bad = "too many devices";
            }
          });
          return true;
        }
        return false;
      },
      why);
  if (ok && (out.site.empty() || out.instance_id.empty())) {
    why = "a hello without site or instance_id";
    return false;
  }
  return ok;
}

bool read(std::string_view line, Heartbeat& out, const char*& why) {
  Reader r(line);
  return r.all(
      [&](std::string_view key) {
        if (key == "rev") return r.number(out.revision, 0, any_number);
        if (key != "inflight") return false;
        members(r.cursor, [&](std::string_view offer) {
          std::string name(offer);
          std::uint32_t n = 0;
          r.number(n, 0, small_number);
          if (out.in_flight.size() < offers_max) out.in_flight[std::move(name)] = n;
          return true;
        });
        return true;
      },
      why);
}

bool read(std::string_view line, Capacity& out, const char*& why) {
  Reader r(line);
  out.full = false;
  const bool ok = r.all(
      [&](std::string_view key) {
        if (key == "rev") return r.number(out.revision, 0, any_number);
        if (key == "full") return r.boolean(out.full);
        if (key == "page") return r.number(out.page, 1, offers_max);
        if (key == "pages") return r.number(out.pages, 1, offers_max);
        if (key != "offers") return false;
        elements(r.cursor, [&] { read_offer(r, out); });
        return true;
      },
      why);
  if (ok && (out.page > out.pages || out.offers.size() > offers_max)) {
    why = "pages or offers out of their range";
    return false;
  }
  return ok;
}

bool read(std::string_view line, Reclaim& out, const char*& why) {
  Reader r(line);
  return r.all(
      [&](std::string_view key) {
        if (key == "seat") return r.text(out.seat);
        if (key == "phase") return r.text(out.phase);
        if (key == "attempts") return r.texts(out.attempts, 4096);
        return false;
      },
      why);
}

bool read(std::string_view body, Welcome& out, const char*& why) {
  Reader r(body);
  return r.all(
      [&](std::string_view key) {
        if (key == "minor") return r.number(out.minor, 0, small_number);
        if (key == "gateway") return r.text(out.gateway);
        if (key == "time_ms") return r.number(out.time_ms, INT64_MIN, any_number);
        if (key == "tunnel") return r.number(out.tunnel, 0, any_number);
        if (key == "hosts") return r.texts(out.hosts, 16);
        if (key == "heartbeat_s") return r.number(out.heartbeat_s, 1, 60);
        if (key == "state") return r.text(out.state);
        return false;
      },
      why);
}

bool read(std::string_view body, CheckpointPage& out, const char*& why) {
  Reader r(body);
  return r.all(
      [&](std::string_view key) {
        if (key == "last") return r.number(out.last, 0, any_number);
        if (key != "checkpoints") return false;
        elements(r.cursor, [&] {
          const auto raw = r.cursor.skip();
          if (out.checkpoints.size() < checkpoints_per_page) {
            out.checkpoints.emplace_back(raw);
          } else {
            r.bad = "too many checkpoints";
          }
        });
        return true;
      },
      why);
}

bool read(std::string_view body, ReceiptsHeld& out, const char*& why) {
  Reader r(body);
  return r.all(
      [&](std::string_view key) {
        if (key == "upto") return r.number(out.upto, 0, any_number);
        if (key == "refused") return r.text(out.refused);
        return false;
      },
      why);
}

bool read_receipts(std::string_view line, std::string_view& root, const char*& why) {
  Reader r(line);
  const bool ok = r.all(
      [&](std::string_view key) {
        if (key != "signed") return false;
        root = r.cursor.skip();
        return true;
      },
      why);
  if (ok && root.empty()) why = "no signed root";
  return ok && !root.empty();
}

bool read_ack(std::string_view body, std::uint64_t& upto, const char*& why) {
  Reader r(body);
  return r.all([&](std::string_view key) { return key == "upto" && r.number(upto, 0, any_number); },
               why);
}

}  // namespace trib::tunnel
