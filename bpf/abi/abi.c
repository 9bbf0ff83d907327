/* A header alone is nothing that SwiftPM (6.3.1) compares: Swift modules that import it kept the layouts of its last version.
 * What this file compiles to is compared. */
#include <mesh_abi.h>

/* A translation unit has at least one declaration that is not a static assertion (ISO C11, 6.9). */
extern const int mesh_layout;
const int mesh_layout = MESH_LAYOUT;
