// Keys and merging: which records are one device, and what it is called.
#pragma once
#include <string>
#include <vector>

#include "backends/devices/devices.h"

namespace trib::devices {

// Replaces keys that do not name one device: a uuid that is all zero, a known constant or shown twice in
// this family gives way to the serial or the PCI address with the machine's salt; what then still repeats
// gets its place appended and the lowest quality.
void settle_keys(std::vector<Device>& family, const std::string& salt);

// Joins records with the same key or the same PCI address and kind. The vendor's own family answers for
// the device (generic interfaces and declarations come last); figures it lacks are taken from the others.
std::vector<Device> merge(std::vector<Device> all);

}  // namespace trib::devices
