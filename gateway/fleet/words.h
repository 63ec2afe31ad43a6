// The 256 words that a key is read aloud by. Their order is part of the protocol: never changed.
#pragma once
#include <string_view>

namespace trib::fleet {

inline constexpr std::string_view words[256] = {
    "acorn", "apple", "arrow", "autumn", "badge", "baker", "bamboo", "banjo", "barley", "barn",
    "basil", "basket", "beach", "bean", "bear", "beaver", "bell", "bench", "berry", "bird",
    "biscuit", "blanket", "blossom", "boat", "bottle", "branch", "bread", "brick", "bridge",
    "broom", "brush", "bucket", "butter", "button", "cabin", "cactus", "camel", "candle", "canoe",
    "canyon", "carpet", "carrot", "castle", "cedar", "cello", "chalk", "chapel", "cherry", "chess",
    "chimney", "cider", "circle", "citrus", "clay", "clock", "cloud", "clover", "coast", "cobalt",
    "coconut", "comet", "compass", "copper", "coral", "cotton", "cradle", "crane", "crayon",
    "cricket", "crown", "crystal", "cup", "daisy", "dancer", "dawn", "deer", "desert", "diamond",
    "dolphin", "donkey", "door", "dragon", "dress", "drum", "duck", "eagle", "earth", "easel",
    "echo", "elbow", "elm", "ember", "engine", "falcon", "farm", "feather", "fern", "fiddle",
    "field", "finch", "fire", "fish", "flag", "flame", "flute", "forest", "fossil", "fountain",
    "fox", "frost", "galaxy", "garden", "garlic", "gate", "ginger", "glacier", "glass", "globe",
    "glove", "goat", "gold", "goose", "grape", "grass", "guitar", "hammer", "harbor", "harp",
    "hazel", "heart", "hedge", "heron", "hill", "honey", "horn", "horse", "house", "ice", "igloo",
    "iron", "island", "ivory", "ivy", "jacket", "jade", "jaguar", "jelly", "jewel", "jungle",
    "kettle", "key", "kite", "kitten", "koala", "ladder", "lake", "lamp", "lantern", "leaf",
    "lemon", "lilac", "lily", "linen", "lion", "lizard", "lobster", "lotus", "magnet", "mango",
    "maple", "marble", "market", "meadow", "melon", "mill", "mint", "mirror", "monkey", "moon",
    "moss", "mountain", "mouse", "music", "needle", "nest", "night", "north", "nutmeg", "oak",
    "oasis", "ocean", "olive", "onion", "opal", "orange", "orchid", "otter", "oven", "owl",
    "oyster", "paddle", "palace", "palm", "panda", "paper", "parrot", "path", "peach", "peanut",
    "pearl", "pebble", "pencil", "penguin", "pepper", "piano", "pigeon", "pillow", "pilot", "pine",
    "planet", "plum", "pocket", "pond", "poppy", "potato", "prairie", "prism", "pumpkin", "puzzle",
    "quail", "quartz", "quilt", "rabbit", "radio", "rain", "raven", "ribbon", "rice", "river",
    "robin", "rocket", "rope", "rose", "ruby", "saddle", "sail", "salmon", "sand", "saturn",
    "scarf", "school", "sea", "seed", "shadow", "sheep", "shell",
};

}  // namespace trib::fleet
