#include "check.h"
#include "../lib/names.h"

#define SERVER bpf_htonl(0x08080808)
#define PORT bpf_htons(53)

CHECK(check_taken)
{
    struct mesh_pod pod = {.workload = 1, .names_port_be = bpf_htons(15053)};
    struct mesh_addr server = mesh_addr_v4(SERVER);
    struct mesh_addr server6 = mesh_addr_v6(bpf_htonl(0xfd000000), 0, 0, bpf_htonl(53));
    EXPECT(mesh_names_taken(&pod, &server, PORT, 0));
    EXPECT(mesh_names_taken(&pod, &server, PORT, 40000));
    EXPECT(mesh_names_taken(&pod, &server6, PORT, 40000));
    EXPECT(!mesh_names_taken(&pod, &server, bpf_htons(5353), 40000));
    EXPECT(!mesh_names_taken(&pod, &server, bpf_htons(853), 40000));
    /* The socket of a name server, in host order. */
    EXPECT(!mesh_names_taken(&pod, &server, PORT, 53));
    /* Not asked for. */
    pod.names_port_be = 0;
    pod.flags = MESH_POD_NAMES_LOOPBACK;
    EXPECT(!mesh_names_taken(&pod, &server, PORT, 40000));
    EXPECT(!mesh_names_taken(&pod, &server6, PORT, 40000));
    return 0;
}

CHECK(check_taken_on_loopback)
{
    struct mesh_pod pod = {.workload = 1, .names_port_be = bpf_htons(15053)};
    struct mesh_addr stub = mesh_addr_v4(bpf_htonl(0x7f000035));
    struct mesh_addr stub6 = mesh_addr_v6(0, 0, 0, bpf_htonl(1));
    EXPECT(!mesh_names_taken(&pod, &stub, PORT, 0));
    EXPECT(!mesh_names_taken(&pod, &stub6, PORT, 0));
    pod.flags = MESH_POD_OPEN;
    EXPECT(!mesh_names_taken(&pod, &stub, PORT, 0));
    pod.flags = MESH_POD_NAMES_LOOPBACK;
    EXPECT(mesh_names_taken(&pod, &stub, PORT, 0));
    EXPECT(mesh_names_taken(&pod, &stub6, PORT, 0));
    return 0;
}

CHECK(check_call)
{
    struct mesh_pod pod = {.workload = 1, .names_port_be = bpf_htons(15053)};
    struct mesh_addr server = mesh_addr_v4(SERVER);
    struct mesh_addr service = mesh_addr_v4(bpf_htonl(0xf0000035));
    struct mesh_service_key key = {.address = service, .port_be = PORT, .protocol = 6};
    struct mesh_service value = {.service = 9, .mode = MESH_MODE_KERNEL};
    EXPECT(bpf_map_update_elem(&MESH_MAP(svc), &key, &value, BPF_ANY) == 0);
    EXPECT(mesh_names_takes_call(&pod, &server, PORT, 0));
    EXPECT(!mesh_names_takes_call(&pod, &server, bpf_htons(80), 0));
    /* A name server that is a service is called as one. */
    EXPECT(!mesh_names_takes_call(&pod, &service, PORT, 0));
    pod.names_port_be = 0;
    EXPECT(!mesh_names_takes_call(&pod, &server, PORT, 0));
    return 0;
}

CHECK(check_answer)
{
    struct mesh_addr v4 = mesh_names_server(1), v6 = mesh_names_server(0);
    EXPECT(mesh_addr_is_v4(&v4) && mesh_addr_is_loopback(&v4));
    EXPECT(!mesh_addr_is_v4(&v6) && mesh_addr_is_loopback(&v6));
    EXPECT(mesh_names_answered(&v4, bpf_htons(15053)) && mesh_names_answered(&v6, bpf_htons(15053)));
    EXPECT(!mesh_names_answered(&v4, PORT));
    struct mesh_addr server = mesh_addr_v4(SERVER);
    EXPECT(!mesh_names_answered(&server, bpf_htons(15053)));

    struct mesh_asked asked = {0};
    struct mesh_addr origin;
    EXPECT(!mesh_names_origin(&asked, &v4, &origin));
    EXPECT(!mesh_names_origin(&asked, &v6, &origin));
    mesh_names_note(&asked, &server);
    EXPECT(mesh_names_origin(&asked, &v4, &origin) && mesh_addr_equal(&origin, &server));
    EXPECT(!mesh_names_origin(&asked, &v6, &origin));
    struct mesh_addr other = mesh_addr_v6(bpf_htonl(0xfd000000), 0, 0, bpf_htonl(53));
    mesh_names_note(&asked, &other);
    EXPECT(mesh_names_origin(&asked, &v6, &origin) && mesh_addr_equal(&origin, &other));
    EXPECT(mesh_names_origin(&asked, &v4, &origin) && mesh_addr_equal(&origin, &server));
    /* The last one asked. */
    struct mesh_addr second = mesh_addr_v4(bpf_htonl(0x01010101));
    mesh_names_note(&asked, &second);
    EXPECT(mesh_names_origin(&asked, &v4, &origin) && mesh_addr_equal(&origin, &second));
    return 0;
}
