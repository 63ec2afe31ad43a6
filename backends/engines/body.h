// How a customer's body becomes an engine's: bytes stay where they are but for what is put in their
// place. Room-private.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/engines/request.h"

namespace trib::engines {

// Where the key of the member begins whose value begins at `value_from`. Precondition: the decoded key
// holds no quote and no colon.
std::size_t key_start(std::string_view json, std::size_t value_from);

// Changes to one object, gathered in any order and made at once. They do not overlap.
class Rewrite {
 public:
  void replace(Span at, std::string text) { patches_.push_back({at, std::move(text)}); }
  void insert(std::size_t at, std::string text) { patches_.push_back({{at, at}, std::move(text)}); }
  void cut(Span member) { patches_.push_back({member, {}}); }  // with one of its commas
  // At the object's end. Precondition: the object keeps at least one member.
  void add(std::string_view key, std::string_view value);
  std::string apply(std::string_view body, std::size_t close_at);

 private:
  struct Patch {
    Span at;
    std::string text;
  };
  std::vector<Patch> patches_;
  std::string tail_;
};

// The engine's own model name, and usage asked for where the engine knows how.
void put_model(Rewrite& to, const RequestFacts& facts, std::string_view engine_model);
void put_usage(Rewrite& to, std::string_view body, const RequestFacts& facts, const fleet::Capabilities& can);
// Without what would steer the engine.
void put_no_steering(Rewrite& to, std::string_view body, const RequestFacts& facts);
// The length limit under the name that the engine reads; `limit` in place of the customer's.
void put_length(Rewrite& to, std::string_view body, const RequestFacts& facts, fleet::LengthField field,
                std::optional<std::uint32_t> limit);

}  // namespace trib::engines
