#include "gateway/metering/segment.h"

#include <algorithm>
#include <cstring>

namespace trib::metering {
namespace {

constexpr std::string_view magic = "TRIBJRNL";
constexpr std::uint32_t format_version = 1;
constexpr std::string_view name_prefix = "journal-";
constexpr std::string_view name_suffix = ".seg";

template <class T>
void put(char* to, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<char>(value >> (8 * i) & 255);
}

template <class T>
T get(const char* from) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<unsigned char>(from[i])) << (8 * i);
  }
  return value;
}

std::string_view view(const Sha256& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

std::uint32_t frame_crc(const char* frame, std::size_t bytes) {
  return crc32c({frame + 8, bytes - 8}, crc32c({frame, 4}));
}

}  // namespace

std::string segment_name(Lsn first) {
  char be[8];
  for (std::size_t i = 0; i < 8; ++i) be[i] = static_cast<char>(first >> (56 - 8 * i) & 255);
  return std::string(name_prefix) + to_hex(std::string_view(be, 8)) + std::string(name_suffix);
}

std::optional<Lsn> parse_segment_name(std::string_view file_name) {
  if (file_name.size() != name_prefix.size() + 16 + name_suffix.size()) return std::nullopt;
  const auto be = from_hex(file_name.substr(name_prefix.size(), 16));
  if (!be) return std::nullopt;
  Lsn first = 0;
  for (const char c : *be) first = first << 8 | static_cast<unsigned char>(c);
  if (segment_name(first) != file_name) return std::nullopt;
  return first;
}

std::string encode_segment_header(const SegmentHeader& header) {
  std::string out(segment_header_bytes, '\0');
  std::copy(magic.begin(), magic.end(), out.begin());
  put(out.data() + 8, format_version);
  put(out.data() + 16, header.first);
  std::memcpy(out.data() + 24, header.before.data(), header.before.size());
  put(out.data() + 60, crc32c({out.data(), 60}));
  return out;
}

std::optional<SegmentHeader> decode_segment_header(std::string_view bytes) {
  if (bytes.size() < segment_header_bytes) return std::nullopt;
  SegmentHeader header;
  header.first = get<std::uint64_t>(bytes.data() + 16);
  std::memcpy(header.before.data(), bytes.data() + 24, header.before.size());
  if (encode_segment_header(header) != bytes.substr(0, segment_header_bytes)) return std::nullopt;
  return header;
}

void append_unsealed_frame(std::string& out, Lsn lsn, std::string_view payload) {
  char header[frame_header_bytes] = {};
  put(header, static_cast<std::uint32_t>(payload.size()));
  put(header + 8, lsn);
  out.append(header, sizeof header);
  out.append(payload);
}

std::size_t unsealed_frame_bytes(const char* frame) {
  return frame_header_bytes + get<std::uint32_t>(frame);
}

Lsn seal_frame(char* frame, Lsn durable, Sha256& chain) {
  const std::size_t bytes = unsealed_frame_bytes(frame);
  const auto lsn = get<std::uint64_t>(frame + 8);
  chain = sha256(view(chain), {frame + frame_header_bytes, bytes - frame_header_bytes});
  put(frame + 16, static_cast<std::uint32_t>(lsn - durable));
  std::memcpy(frame + 20, chain.data(), chain.size());
  put(frame + 4, frame_crc(frame, bytes));
  return lsn;
}

std::optional<Frame> parse_frame(std::string_view bytes) {
  if (bytes.size() < frame_header_bytes) return std::nullopt;
  const auto payload_bytes = get<std::uint32_t>(bytes.data());
  if (payload_bytes == 0 || payload_bytes > record_bytes_max) return std::nullopt;
  const std::size_t total = frame_header_bytes + payload_bytes;
  if (bytes.size() < total) return std::nullopt;
  if (get<std::uint32_t>(bytes.data() + 4) != frame_crc(bytes.data(), total)) return std::nullopt;
  Frame frame;
  frame.lsn = get<std::uint64_t>(bytes.data() + 8);
  frame.pending = get<std::uint32_t>(bytes.data() + 16);
  std::memcpy(frame.hash.data(), bytes.data() + 20, frame.hash.size());
  frame.payload = bytes.substr(frame_header_bytes, payload_bytes);
  return frame;
}

FrameReader::FrameReader(std::unique_ptr<File> file, std::uint64_t offset, std::size_t piece_bytes)
    : file_(std::move(file)), offset_(offset), piece_bytes_(piece_bytes) {}

std::error_code FrameReader::fill(std::size_t bytes) {
  const std::size_t have = buffer_.size() - at_;
  if (have >= bytes) return {};
  buffer_.erase(0, at_);
  at_ = 0;
  buffer_.resize(std::max(bytes, piece_bytes_));
  std::size_t got = 0;
  const auto error =
      file_->read(offset_ + have, {buffer_.data() + have, buffer_.size() - have}, got);
  buffer_.resize(have + (error ? 0 : got));
  return error;
}

std::error_code FrameReader::next(Frame& out, State& state) {
  state = State::bad;
  if (auto error = fill(frame_header_bytes)) return error;
  const std::size_t have = buffer_.size() - at_;
  if (have < 4) {
    // Fewer bytes than a length cannot begin a frame; only zeros among them are an orderly end.
    const auto rest = std::string_view(buffer_).substr(at_);
    if (rest.find_first_not_of('\0') == std::string_view::npos) state = State::end;
    return {};
  }
  const auto payload_bytes = get<std::uint32_t>(buffer_.data() + at_);
  if (payload_bytes == 0) {
    state = State::end;
    return {};
  }
  if (payload_bytes > record_bytes_max) return {};
  if (auto error = fill(frame_header_bytes + payload_bytes)) return error;
  const auto frame = parse_frame(std::string_view(buffer_).substr(at_));
  if (!frame) return {};
  out = *frame;
  at_ += frame->bytes();
  offset_ += frame->bytes();
  state = State::frame;
  return {};
}

}  // namespace trib::metering
