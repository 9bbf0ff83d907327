/* Pages of the program that are mapped because something once ran there. */
#pragma once

/* Unmaps the pages of code and constants of the program and its libraries. They stay in the page cache; what is used again
   comes back by minor faults, sixteen pages at once. */
void cmesh_program_give_back(void);
