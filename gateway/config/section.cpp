#include "gateway/config/section.h"

#include <algorithm>
#include <set>

#include "gateway/base/assert.h"
#include "gateway/config/scalar.h"

namespace trib::config {
namespace {

bool one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

std::vector<std::string> words_of(std::string_view list) {
  std::vector<std::string> words;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find('|'), list.size());
    words.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  return near.empty() ? "known here: " + joined(known) : "did you mean " + near + "?";
}

std::string join_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + "." + std::string(key);
}

}  // namespace

Section::Section(const Document& document, std::span<const Key> keys)
    : Section(document, &document.root(), document.root(), "", "", keys) {}

Section::Section(const Document& document, std::span<const Key> keys, std::string path)
    : Section(document, &document.root(), document.root(), std::move(path), "", keys) {}

Section::Section(const Document& document, const Node* node, const Node& place, std::string path,
                 std::string pattern, std::span<const Key> keys)
    : document_(&document),
      node_(node),
      place_(&place),
      path_(std::move(path)),
      pattern_(std::move(pattern)),
      keys_(keys) {
  if (node_ != nullptr) open();
}

void Section::open() const {
  if (node_->kind != Node::Kind::map) {
    document_->fail(*node_, path_.empty() ? "document" : path_,
                    "must be a map with the keys " + joined(known()));
  }
  for (const Entry& entry : node_->entries) {
    const Key* key = find_row(entry.key);
    const std::string path = join_path(path_, one_line(entry.key) ? entry.key : "?");
    if (key == nullptr) {
      document_->fail(entry, path, "unknown key; " + did_you_mean(entry.key, known()));
    }
    if (key->type == Type::not_yet) {
      document_->fail(entry, path, "not honoured by this version; leave it out");
    }
  }
}

const Key* Section::find_row(std::string_view key) const {
  const std::string pattern = join_path(pattern_, key);
  const auto at =
      std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.path == pattern; });
  return at == keys_.end() ? nullptr : &*at;
}

const Key& Section::row(std::string_view key) const {
  const Key* found = find_row(key);
  TRIB_ASSERT(found != nullptr);  // our own parser asked for a key without a row
  return *found;
}

std::vector<std::string> Section::known() const {
  std::vector<std::string> out;
  const std::string prefix = pattern_.empty() ? "" : pattern_ + ".";
  for (const Key& key : keys_) {
    if (key.path.substr(0, prefix.size()) != prefix || key.type == Type::not_yet) continue;
    const std::string_view rest = key.path.substr(prefix.size());
    if (rest.find('.') == std::string_view::npos) out.emplace_back(rest);
  }
  return out;
}

const Node* Section::node(std::string_view key) const {
  if (node_ == nullptr) return nullptr;
  for (const Entry& entry : node_->entries) {
    if (entry.key != key) continue;
    const Type type = row(key).type;
    const bool container = type == Type::section || type == Type::list;
    return container && entry.value.kind == Node::Kind::null ? nullptr : &entry.value;
  }
  return nullptr;
}

std::string Section::path_of(std::string_view key) const {
  return join_path(path_, key);
}
std::string Section::place() const {
  return "line " + std::to_string(place_->line);
}

void Section::fail(std::string_view key, const std::string& why) const {
  const Node* at = node(key);
  document_->fail(at ? *at : *place_, path_of(key), why);
}

void Section::fail(const std::string& why) const {
  document_->fail(*place_, path_, why);
}

void Section::fail_at(const Item& item, const std::string& why) const {
  document_->fail(*item.node, item.path, why);
}

std::string Section::scalar_of(const Node& node, const std::string& path) const {
  if (node.kind == Node::Kind::null)
    document_->fail(node, path, "has no value; write one or leave the key out");
  if (node.kind != Node::Kind::scalar)
    document_->fail(node, path, "must be one value, not a list or a map");
  return document_->text(node, path);
}

// The value as text: the file's, else the row's default; empty where there is neither.
std::string Section::scalar(std::string_view key) const {
  const Node* at = node(key);
  if (at != nullptr) return scalar_of(*at, path_of(key));
  if (row(key).fallback == required) fail(key, "is missing; add it, it has no default");
  return std::string(row(key).fallback);
}

void Section::fail_bounds(std::string_view key) const {
  const Key& bounds = row(key);
  fail(key, shown(node(key)->raw) + " is out of bounds; " + std::string(bounds.least) + " to " +
                std::string(bounds.most));
}

std::int64_t Section::duration_ms(std::string_view key) const {
  const auto value = parse_duration_ms(scalar(key));
  if (!value)
    fail(key, shown(node(key)->raw) +
                  " is not a duration; write a whole number with ms, s, m or h, such as 10s");
  if (*value < *parse_duration_ms(row(key).least) || *value > *parse_duration_ms(row(key).most))
    fail_bounds(key);
  return *value;
}

std::uint64_t Section::size(std::string_view key) const {
  const auto value = parse_size(scalar(key));
  if (!value)
    fail(key,
         shown(node(key)->raw) +
             " is not a size; write a whole number with B, KiB, MiB, GiB or TiB, such as 16KiB");
  if (*value < *parse_size(row(key).least) || *value > *parse_size(row(key).most)) fail_bounds(key);
  return *value;
}

std::uint64_t Section::count(std::string_view key) const {
  const auto value = parse_count(scalar(key));
  if (!value)
    fail(key, shown(node(key)->raw) +
                  " is not a count; write a whole number without sign or separators");
  if (*value < *parse_count(row(key).least) || *value > *parse_count(row(key).most))
    fail_bounds(key);
  return *value;
}

bool Section::flag(std::string_view key) const {
  const std::string value = scalar(key);
  if (value != "true" && value != "false")
    fail(key, shown(node(key)->raw) + " must be true or false");
  return value == "true";
}

std::string Section::text(std::string_view key) const {
  std::string value = scalar(key);
  if (node(key) == nullptr) return value;
  if (value.empty()) fail(key, "is empty; write a value or leave the key out");
  if (!one_line(value)) fail(key, "holds a control byte; write it on one line");
  return value;
}

std::string Section::path(std::string_view key) const {
  return text(key);
}

std::string Section::id(std::string_view key) const {
  std::string value = scalar(key);
  if (node(key) != nullptr && !valid_id(value)) {
    fail(key,
         shown(node(key)->raw) +
             " is not an id; use a-z, 0-9, '.', '_' and '-', a letter or digit first, at most 128");
  }
  return value;
}

Address Section::address(std::string_view key) const {
  auto value = parse_address(scalar(key));
  if (!value)
    fail(key, shown(node(key)->raw) +
                  " is not an address; write host:port, such as 127.0.0.1:8080 or [::1]:8080");
  return std::move(*value);
}

std::optional<std::int64_t> Section::date(std::string_view key) const {
  const std::string value = scalar(key);
  if (node(key) == nullptr) return {};
  const auto date = parse_date(value);
  if (!date)
    fail(key,
         shown(node(key)->raw) + " is not a date; write 2026-01-01 or 2026-01-01T00:00:00+08:00");
  return date;
}

std::string Section::money_text(std::string_view key) const {
  std::string value = scalar(key);
  const Node* at = node(key);
  if (at != nullptr && !at->quoted) {
    fail(key, "a bare number may be rounded before it is read; put it in quotes: \"" +
                  (at->raw.size() <= 32 && one_line(at->raw) ? at->raw : std::string("0.50")) +
                  "\"");
  }
  return value;
}

money::Price Section::price(std::string_view key) const {
  const std::string value = money_text(key);
  const auto price = money::Price::parse_per_million(value);
  if (!price) {
    fail(key, shown(node(key)->raw) +
                  " is not a price; CNY per 1M tokens, not negative, at most 6 decimals, such as "
                  "\"0.50\"");
  }
  return *price;
}

money::Amount Section::amount(std::string_view key) const {
  const std::string value = money_text(key);
  const auto amount = money::Amount::parse(value);
  if (!amount || amount->negative()) {
    fail(key, shown(node(key)->raw) +
                  " is not an amount; CNY, not negative, at most 12 decimals, such as \"100.00\"");
  }
  return *amount;
}

std::size_t Section::choice(std::string_view key) const {
  const std::string value = scalar(key);
  const std::vector<std::string> words = words_of(row(key).least);
  const auto at = std::find(words.begin(), words.end(), value);
  if (at == words.end())
    fail(key, shown(node(key)->raw) + " is not known; one of " + joined(words));
  return static_cast<std::size_t>(at - words.begin());
}

Section Section::child(const Node& node, std::string path, std::string pattern) const {
  return {*document_, &node, node, std::move(path), std::move(pattern), keys_};
}

Section Section::section(std::string_view key) const {
  const Node* at = node(key);
  if (at == nullptr && row(key).fallback == required)
    fail(key, "is missing; add it, it has no default");
  if (at == nullptr)
    return {*document_, nullptr, *place_, path_of(key), join_path(pattern_, key), keys_};
  return child(*at, path_of(key), join_path(pattern_, key));
}

void Section::check_count(std::string_view key, std::size_t count) const {
  const Key& bounds = row(key);
  if (count < *parse_count(bounds.least) || count > *parse_count(bounds.most)) {
    fail(key, "has " + std::to_string(count) + " entries; " + std::string(bounds.least) + " to " +
                  std::string(bounds.most));
  }
}

std::vector<Section> Section::sections(std::string_view key) const {
  std::vector<Section> out;
  const Node* at = node(key);
  if (at == nullptr) return out;
  if (at->kind != Node::Kind::list) fail(key, "must be a list; begin each entry with \"- \"");
  check_count(key, at->items.size());
  for (std::size_t i = 0; i < at->items.size(); ++i) {
    const std::string path = path_of(key) + "[" + std::to_string(i) + "]";
    if (at->items[i].kind == Node::Kind::null)
      document_->fail(at->items[i], path, "is empty; fill it or remove it");
    out.push_back(child(at->items[i], path, join_path(pattern_, key) + "[]"));
  }
  return out;
}

std::vector<Section> Section::one_or_more(std::string_view key) const {
  const Node* at = node(key);
  if (at == nullptr || at->kind != Node::Kind::map) return sections(key);
  return {child(*at, path_of(key), join_path(pattern_, key) + "[]")};
}

std::vector<Section::Item> Section::texts(std::string_view key) const {
  std::vector<Item> out;
  const Node* at = node(key);
  if (at == nullptr) return out;
  if (at->kind != Node::Kind::list) fail(key, "must be a list, such as [a, b]");
  check_count(key, at->items.size());
  for (std::size_t i = 0; i < at->items.size(); ++i) {
    Item item{"", path_of(key) + "[" + std::to_string(i) + "]", &at->items[i]};
    item.text = scalar_of(at->items[i], item.path);
    if (item.text.empty() || !one_line(item.text))
      fail_at(item, "must be one line of text, not empty");
    out.push_back(std::move(item));
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> Section::models(std::string_view key) const {
  std::vector<std::pair<std::string, std::string>> out;
  const Node* at = node(key);
  if (at == nullptr) return out;
  std::set<std::string> seen;
  auto take = [&](const std::string& name, const std::string& own, const Item& item) {
    if (!valid_id(name))
      fail_at(item, shown(name) +
                        " is not a model's id; use a-z, 0-9, '.', '_' and '-', a letter or digit "
                        "first, at most 128");
    if (!seen.insert(name).second)
      fail_at(item, "the model " + name + " stands here twice; keep one of them");
    out.emplace_back(name, own);
  };
  if (at->kind != Node::Kind::map) {
    for (const Item& item : texts(key)) take(item.text, item.text, item);
    return out;
  }
  check_count(key, at->entries.size());
  for (const Entry& entry : at->entries) {
    Item item{"", path_of(key) + "." + (one_line(entry.key) ? entry.key : "?"), &entry.value};
    item.text = scalar_of(entry.value, item.path);
    if (item.text.empty() || item.text.size() > 256 || !one_line(item.text)) {
      fail_at(item, "must be the engine's own name of the model, 1 to 256 bytes");
    }
    take(entry.key, item.text, item);
  }
  return out;
}

}  // namespace trib::config
