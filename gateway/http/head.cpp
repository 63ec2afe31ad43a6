#include "gateway/http/head.h"

#include <algorithm>

#include "gateway/http/fields.h"
#include "gateway/http/grammar.h"

namespace trib::http {
namespace {

constexpr std::size_t method_bytes_max = 32;
constexpr std::size_t request_line_bytes_max = method_bytes_max + 1 + target_bytes_max + 11;
constexpr std::size_t nominations_max = 16;

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool istarts_with(std::string_view text, std::string_view front) {
  return text.size() >= front.size() && iequals(text.substr(0, front.size()), front);
}

HeadStatus refuse(HeadRefusal& why, int status, const char* text) {
  why = {status, text};
  return HeadStatus::refused;
}

// The status to answer with: a request's own, while every fault of a response head is a 502.
int blame(const HeadRefusal& why, int status) {
  return why.status == 502 ? 502 : status;
}

bool fail(HeadRefusal& why, const char* text) {
  why.why = text;
  return false;
}

bool fail(HeadRefusal& why, int status, const char* text) {
  why = {status, text};
  return false;
}

// "." and "..", also with their dots percent-encoded.
bool dot_segment(std::string_view segment) {
  unsigned dots = 0;
  while (!segment.empty()) {
    if (segment.front() == '.') {
      segment.remove_prefix(1);
    } else if (istarts_with(segment, "%2e")) {
      segment.remove_prefix(3);
    } else {
      return false;
    }
    if (++dots > 2) return false;
  }
  return dots > 0;
}

bool has_dot_segment(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (dot_segment(path.substr(0, slash))) return true;
    path.remove_prefix(slash);
  }
  return false;
}

// Checks an origin-form target byte by byte and splits it. A '%' escape must have two hex digits;
// none may hide a NUL, nor, in the path, a control, a slash or a backslash.
bool read_target(std::string_view target, RequestHead& out, HeadRefusal& why) {
  std::size_t path_size = target.size();
  bool dots = false;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const char c = target[i];
    if (c == '?' && path_size == target.size()) path_size = i;
    const bool in_path = path_size == target.size();
    if (c == '.') dots = true;
    if (grammar::is(c, grammar::uri_bit)) continue;
    if (c != '%') return fail(why, "a byte that a target may not hold");
    const int high = i + 2 < target.size() ? grammar::hex_value(target[i + 1]) : -1;
    const int low = i + 2 < target.size() ? grammar::hex_value(target[i + 2]) : -1;
    if (high < 0 || low < 0) return fail(why, "a percent escape without two hex digits");
    const int byte = high * 16 + low;
    if (byte == 0) return fail(why, "an encoded NUL in the target");
    if (in_path && (byte < 0x20 || byte == 0x7f))
      return fail(why, "an encoded control in the path");
    if (in_path && (byte == '/' || byte == '\\')) return fail(why, "an encoded slash in the path");
    if (byte == '.') dots = true;
    i += 2;
  }
  out.target = target;
  out.path = target.substr(0, path_size);
  out.query = path_size < target.size() ? target.substr(path_size + 1) : std::string_view{};
  if (dots && has_dot_segment(out.path)) return fail(why, "a dot segment in the path");
  return true;
}

// "http://authority/path?query": cut to the origin form. Its authority goes to `authority`.
bool read_absolute_target(std::string_view target, std::optional<std::string_view>& authority,
                          RequestHead& out, HeadRefusal& why) {
  target.remove_prefix(target.find("//") + 2);
  const std::size_t size = std::min(target.find_first_of("/?"), target.size());
  authority = target.substr(0, size);
  target.remove_prefix(size);
  if (target.empty()) {
    out.target = out.path = out.method == "OPTIONS" ? "*" : "/";
    return true;
  }
  if (target.front() != '/') return fail(why, "an absolute target with a query but no path");
  return read_target(target, out, why);
}

bool read_version(std::string_view version, int& minor) {
  if (version.size() != 8 || !version.starts_with("HTTP/") || version[6] != '.') return false;
  if (!grammar::digit(version[5]) || !grammar::digit(version[7])) return false;
  minor = version[5] == '1' ? version[7] - '0' : 9;
  return true;
}

// method SP target SP version. `authority` is set for an absolute-form target only.
bool read_request_line(std::string_view line, RequestHead& out,
                       std::optional<std::string_view>& authority, HeadRefusal& why) {
  const std::size_t first = line.find(' ');
  const std::size_t second = first == line.npos ? line.npos : line.find(' ', first + 1);
  if (second == line.npos) return fail(why, "not a request line");
  out.method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (!grammar::token(out.method)) return fail(why, "the method is not a token");
  if (out.method.size() > method_bytes_max) return fail(why, 501, "the method is too long");
  if (!read_version(line.substr(second + 1), out.minor)) return fail(why, "not an HTTP version");
  if (out.minor > 1) return fail(why, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  if (target.size() > target_bytes_max) return fail(why, 414, "the target is too long");
  if (out.method == "CONNECT") return fail(why, 501, "CONNECT is not served");
  out.query = {};
  if (target.starts_with('/')) return read_target(target, out, why);
  if (target == "*") {
    if (out.method != "OPTIONS") return fail(why, "the target * is for OPTIONS");
    out.target = out.path = target;
    return true;
  }
  if (istarts_with(target, "http://") || istarts_with(target, "https://")) {
    return read_absolute_target(target, authority, out, why);
  }
  return fail(why, "the target has no form that is served");
}

bool read_status_line(std::string_view line, ResponseHead& out, int& minor, HeadRefusal& why) {
  if (line.size() < 13 || line[8] != ' ' || line[12] != ' ') return fail(why, "not a status line");
  if (!read_version(line.substr(0, 8), minor)) return fail(why, "not an HTTP version");
  if (minor > 1) return fail(why, "not HTTP/1.0 or HTTP/1.1");
  const std::string_view digits = line.substr(9, 3);
  out.status = 0;
  for (const char c : digits) {
    if (!grammar::digit(c)) return fail(why, "not a status");
    out.status = out.status * 10 + (c - '0');
  }
  if (out.status < 100 || out.status > 599) return fail(why, "not a status");
  const std::string_view rest = line.substr(13);
  if (grammar::field_bytes(rest) != rest.size())
    return fail(why, "a control byte in the status line");
  return true;
}

std::string_view find_in(std::span<const Field> fields, std::string_view name) {
  for (const Field& field : fields) {
    if (iequals(field.name, name)) return field.value;
  }
  return {};
}

}  // namespace

bool iequals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::string_view RequestHead::find(std::string_view name) const {
  return find_in(fields, name);
}
std::string_view ResponseHead::find(std::string_view name) const {
  return find_in(fields, name);
}

// Finds the blank line. Every rule here looks at a prefix only, so the verdict does not depend on
// how the bytes were cut into reads. The head's first line begins at `start`.
HeadStatus HeadReader::find_end(std::string_view buffered, std::size_t start, std::size_t& used,
                                HeadRefusal& why) {
  if (buffered.size() > start && !grammar::is(buffered[start], grammar::token_bit)) {
    return refuse(why, blame(why, 400), "a head begins with a token");
  }
  if (line_ < start) line_ = scanned_ = start;
  for (;;) {
    const std::size_t lf = buffered.find('\n', scanned_);
    const std::size_t end = lf == buffered.npos ? buffered.size() : lf + 1;
    const std::size_t first_line_max = start + request_line_bytes_max + 2;
    if (line_ == start && end > first_line_max && first_line_max < limits_.bytes) {
      return refuse(why, blame(why, 414), "the first line is too long");
    }
    if (end > limits_.bytes) {
      return refuse(why, blame(why, 431), "the head is too large");
    }
    if (lf == buffered.npos) {
      scanned_ = buffered.size();
      return HeadStatus::need_more;
    }
    if (lf == line_ || buffered[lf - 1] != '\r')
      return refuse(why, blame(why, 400), "a line ends in LF alone");
    if (lf - line_ == 1) {
      used = lf + 1;
      return HeadStatus::ok;
    }
    line_ = scanned_ = lf + 1;
  }
}

// `block`: the field lines with their CRLFs, without the blank line.
bool HeadReader::read_fields(std::string_view block, FieldNotes& seen, HeadRefusal& why) {
  fields_.clear();
  std::size_t count = 0;
  while (!block.empty()) {
    if (++count > limits_.fields) return fail(why, blame(why, 431), "too many fields");
    std::size_t name_size = 0;
    while (grammar::is(block[name_size], grammar::token_bit)) ++name_size;  // the CRLF stops it
    if (name_size == 0) return fail(why, "a folded line or an empty field name");
    if (block[name_size] != ':') return fail(why, "a byte that a field name may not hold");
    const std::string_view rest = block.substr(name_size + 1);
    const std::size_t size = grammar::field_bytes(rest);
    if (rest.substr(size, 2) != "\r\n") return fail(why, "a byte that a field value may not hold");
    const Field field{block.substr(0, name_size), grammar::trim(rest.substr(0, size))};
    const FieldUse use = note_field(field, seen, why);
    if (use == FieldUse::refused) return false;
    if (use == FieldUse::keep) fields_.push_back(field);
    block = rest.substr(size + 2);
  }
  return true;
}

// Reads the Connection fields and drops the fields they name.
bool HeadReader::connection(const FieldNotes& seen, bool& close, bool& keep, HeadRefusal& why) {
  std::size_t nominations = 0;
  for (std::size_t i = 0; i < seen.connections; ++i) {
    std::string_view list = seen.connection[i];
    while (!list.empty()) {
      const std::size_t comma = std::min(list.find(','), list.size());
      const std::string_view option = grammar::trim(list.substr(0, comma));
      list.remove_prefix(std::min(comma + 1, list.size()));
      if (option.empty()) continue;  // RFC 9110 5.6.1: empty elements are to be ignored
      if (!grammar::token(option)) return fail(why, "Connection holds something other than tokens");
      if (iequals(option, "close")) {
        close = true;
      } else if (iequals(option, "keep-alive")) {
        keep = true;
      } else {
        if (must_not_be_nominated(option)) return fail(why, "Connection names an end-to-end field");
        if (++nominations > nominations_max) return fail(why, "Connection names too many fields");
        std::erase_if(fields_, [option](const Field& f) { return iequals(f.name, option); });
      }
    }
  }
  return true;
}

HeadStatus HeadReader::request(std::string_view buffered, RequestHead& out, std::size_t& used,
                               HeadRefusal& why) {
  why = {400, ""};
  if (buffered == "\r") return HeadStatus::need_more;
  // RFC 9112 2.2: one empty line before a request is to be ignored.
  const std::size_t start = buffered.starts_with("\r\n") ? 2 : 0;
  const HeadStatus found = find_end(buffered, start, used, why);
  if (found != HeadStatus::ok) return found;
  reset();

  const std::string_view head = buffered.substr(start, used - start - 2);
  const std::size_t line_end = head.find('\n') - 1;
  std::optional<std::string_view> authority;
  if (!read_request_line(head.substr(0, line_end), out, authority, why)) return HeadStatus::refused;
  FieldNotes seen;
  if (!read_fields(head.substr(line_end + 2), seen, why)) return HeadStatus::refused;
  if (!seen.host && out.minor == 1) return refuse(why, 400, "no Host");
  if (authority && !(seen.host && iequals(*authority, seen.host_value))) {
    return refuse(why, 400, "the target's authority is not the Host");
  }
  if (seen.chunked && seen.length)
    return refuse(why, 400, "Transfer-Encoding beside Content-Length");
  if (seen.chunked && out.minor == 0) return refuse(why, 400, "Transfer-Encoding in HTTP/1.0");
  bool close = false;
  bool keep = false;
  if (!connection(seen, close, keep, why)) return HeadStatus::refused;
  if (seen.expect && !iequals(seen.expect_value, "100-continue")) {
    return refuse(why, 417, "an expectation that cannot be met");
  }

  out.host = seen.host_value;
  out.keep_alive = !close && (keep || out.minor == 1);
  out.framing = seen.chunked ? Framing::chunked : seen.length ? Framing::length : Framing::none;
  out.length = seen.length_value;
  out.expect_continue = seen.expect && out.minor == 1 && (seen.chunked || seen.length_value > 0);
  out.fields = fields_;
  return HeadStatus::ok;
}

HeadStatus HeadReader::response(std::string_view buffered, bool to_head, ResponseHead& out,
                                std::size_t& used, HeadRefusal& why) {
  why = {502, ""};
  const HeadStatus found = find_end(buffered, 0, used, why);
  if (found != HeadStatus::ok) return found;
  reset();

  const std::string_view head = buffered.substr(0, used - 2);
  const std::size_t line_end = head.find('\n') - 1;
  int minor = 1;
  if (!read_status_line(head.substr(0, line_end), out, minor, why)) return HeadStatus::refused;
  FieldNotes seen;
  if (!read_fields(head.substr(line_end + 2), seen, why)) return HeadStatus::refused;
  if (seen.chunked && seen.length)
    return refuse(why, 502, "Transfer-Encoding beside Content-Length");
  if (seen.chunked && minor == 0) return refuse(why, 502, "Transfer-Encoding in HTTP/1.0");
  const bool interim = out.status < 200;
  if ((interim || out.status == 204) && (seen.chunked || seen.length_value > 0)) {
    return refuse(why, 502, "a body announced where none can be");
  }
  bool close = false;
  bool keep = false;
  if (!connection(seen, close, keep, why)) return HeadStatus::refused;

  out.length = seen.length_value;
  if (to_head || interim || out.status == 204 || out.status == 304) {
    out.framing = Framing::none;
    out.length = 0;
  } else if (seen.chunked) {
    out.framing = Framing::chunked;
  } else {
    out.framing = seen.length ? Framing::length : Framing::until_close;
  }
  out.keep_alive = !close && (keep || minor == 1) && out.framing != Framing::until_close;
  out.fields = fields_;
  return HeadStatus::ok;
}

}  // namespace trib::http
