// What every C++ plugin needs at the boundary: the version check, size checks, texts into fixed buffers.
// Header only, no dependency but the ABI; everything here has internal or inline linkage so that a
// plugin exports trib_plugin_query alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "plugins/abi/tributary_device.h"

namespace trib::plugin {

// The accepting rule of the ABI, seen from the plugin.
inline std::int32_t answer_query(std::uint32_t host_major, std::uint32_t host_minor, const trib_plugin& table,
                                 const trib_plugin** out) {
  if (out == nullptr) return TRIB_E_ARG;
  *out = nullptr;
  if (host_major != table.abi_major || host_minor < table.abi_minor) return TRIB_E_ABI;
  *out = &table;
  return TRIB_OK;
}

// The host's minor is never below ours, so its structs are never smaller; a smaller one is an error.
template <class Struct>
bool usable(const Struct* s) {
  return s != nullptr && s->struct_size >= sizeof(Struct);
}

// Hands a filled struct to the caller: our members only, the caller's struct_size kept.
template <class Struct>
void hand_over(Struct filled, Struct* out) {
  filled.struct_size = out->struct_size;
  std::memcpy(static_cast<void*>(out), &filled, sizeof(Struct));
}

// Copies a text into a fixed buffer and sets its bit; an empty text is absent. A cut ends at a whole
// UTF-8 character.
template <std::size_t Cap>
void put(char (&to)[Cap], std::string_view text, std::uint64_t& valid, unsigned bit) {
  to[0] = '\0';
  if (text.empty()) return;
  std::size_t n = text.size();
  if (n >= Cap) {
    n = Cap - 1;
    while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) --n;
    valid |= TRIB_V_TEXT_CUT;
  }
  std::memcpy(to, text.data(), n);
  to[n] = '\0';
  valid |= TRIB_BIT(bit);
}

inline void put_text(char* to, std::uint32_t cap, std::string_view text) {
  if (to == nullptr || cap == 0) return;
  const std::size_t n = text.size() < cap ? text.size() : cap - 1;
  std::memcpy(to, text.data(), n);
  to[n] = '\0';
}

// Element i of a list that the caller described by base and stride.
template <class Struct>
Struct* element(void* base, std::uint32_t stride, std::uint32_t i) {
  return reinterpret_cast<Struct*>(static_cast<char*>(base) + static_cast<std::size_t>(stride) * i);
}

// "pci:0000:3b:00.0": the textual PCI address that keys use.
inline std::string pci_key(const trib_pci& pci) {
  char text[32];
  std::snprintf(text, sizeof text, "pci:%04x:%02x:%02x.%x", pci.domain & 0xffffu, pci.bus & 0xffu,
                pci.dev & 0x1fu, pci.fn & 7u);
  return text;
}

// Writes "A=1\0B=2\0" into kv; *len is the whole length even when it does not fit.
inline std::int32_t put_env(std::string_view pairs, char* kv, std::uint32_t cap, std::uint32_t* len) {
  if (len == nullptr) return TRIB_E_ARG;
  *len = static_cast<std::uint32_t>(pairs.size());
  if (kv == nullptr || cap < pairs.size()) return TRIB_E_TRUNCATED;
  std::memcpy(kv, pairs.data(), pairs.size());
  return TRIB_OK;
}

}  // namespace trib::plugin
