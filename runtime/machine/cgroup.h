// Where the control groups that this process runs in (containers, services) keep their limits.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace quern {

/// The folders of this process's group and of every group around it, innermost first, up to the
/// root of the hierarchy: each may set a limit of its own. A container that sees its own group as
/// the root is told the outer path all the same, so that some may not exist. `root`: "/", or a
/// folder with other proc/ and sys/ in it. `controller`: of the v1 hierarchy ("cpu", "memory"); ""
/// is v2's, which has one hierarchy for all.
std::vector<std::filesystem::path> CgroupFolders(const std::filesystem::path& root,
                                                 std::string_view controller);

}  // namespace quern
